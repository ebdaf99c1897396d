# Where what is fetched for tests lies; to be sourced. Each name carries its version, so that old and new live side by side.
export LC_ALL=C.UTF-8 # as in step.sh
FR_SOURCE=$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export HOME=${HOME:-$(cd ~ && pwd)} # a service manager or a runner may not set it; ~ then comes from passwd
FR_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/freshet

FR_KAFKA_VERSION=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$FR_SOURCE/tests/support/pom.xml")
FR_KAFKA_JARS=$FR_CACHE/kafka-$FR_KAFKA_VERSION

FR_GRPCURL_VERSION=v1.8.9
FR_GRPCURL=$FR_CACHE/grpcurl-$FR_GRPCURL_VERSION/grpcurl

FR_ARGO_VERSION=v3.5.13
FR_PROMETHEUS_OPERATOR_VERSION=v0.76.2
FR_SCHEMAS=$FR_CACHE/schemas-argo-$FR_ARGO_VERSION-prometheus-operator-$FR_PROMETHEUS_OPERATOR_VERSION

FR_VENV=$FR_CACHE/python-$(cat "$FR_SOURCE"/tests/support/requirements*.txt | sha256sum | cut -c1-12)
FR_PYTHON=$FR_VENV/bin/python
