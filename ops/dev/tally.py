"""Adds up what CTest wrote (JUnit files of a folder): failures, skips with their reasons, and the closing line.

A build that failed is in the file 'broken', one a line, and counts as a failed test; so does a run without any test.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree as tree


def main(folder):
    passed, failed, skipped, partly = 0, [], [], []
    for path in sorted(folder.glob("*.xml")):
        for case in tree.parse(path).getroot().iter("testcase"):
            name = f"{path.stem}: {case.get('name')}"
            status = case.get("status")
            reasons = re.findall(r"^SKIP: (.*)$", case.findtext("system-out") or "", re.M)
            if status == "run":
                passed += 1
                partly += [f"{name}: {reason}" for reason in reasons]
            elif status == "fail":
                failed.append(name)
            else:
                skipped.append(f"{name}: {'; '.join(reasons) or 'no reason given'}")
    broken = folder / "broken"
    if broken.exists():
        failed += [f"{line} does not build" for line in broken.read_text().splitlines()]
    if not passed and not failed and not skipped:
        failed.append("no test was run")
    for line in partly:
        print("SKIPPED in part", line)
    for line in skipped:
        print("SKIPPED", line)
    for line in failed:
        print("FAILED ", line)
    print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
