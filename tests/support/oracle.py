"""What the state must be after a log of records, found in one go by other means than the daemon's.

    records, by (partition, offset) ──> judge: an event, or a dead letter and why
        events ──> repeats of an event_id away ──> each user's history, replayed ──> counts, from the histories alone

Written from the contract and the models' page, not from the daemon's source: it shares no code and no data structure with it.
Nothing is kept between two calls. Affinity is summed from the list of a slot's events, co-occurrence counted from the final
histories (with bit sets of users when any two items of a user are a pair), so neither knows the order in which the daemon got there.
"""
import collections
import itertools
import json
import math

MINUTE_MS, DAY_MS = 60_000, 86_400_000
WEIGHTS = {"click": 1, "view": 1, "rating": 1, "like": 2, "add_to_cart": 3, "remove_from_cart": -1, "purchase": 4, "return": -4, "dislike": -2}
USE_VALUE = {"rating"}
WEIGHT_MOST = 1e6
ID_MOST = 256

# Kafka's side of a record: time in ms, key and value as bytes or None.
Record = collections.namedtuple("Record", "partition offset logged key value")
Event = collections.namedtuple("Event", "partition logged user item weight when event_id")
Rules = collections.namedtuple("Rules", "history_max window half_life_days dedup_window_ms max_future_ms",
                               defaults=(0, 0, 30, 60 * MINUTE_MS, 5 * MINUTE_MS))


# ---- records to events ----------------------------------------------------------------------------------------------

def _fields(value, message_class):
    """None if the value cannot be decoded."""
    if value[:1] == b"{":
        try:
            fields = json.loads(value)
        except ValueError:
            return None
        get = lambda name, other: fields.get(name, fields.get("".join(w if not i else w.title() for i, w in enumerate(name.split("_"))), other))  # noqa: E731
        return (get("user_id", ""), get("item_id", ""), get("type", ""), get("value", None), int(get("time_ms", 0)), get("event_id", ""))
    try:
        event = message_class.FromString(value)
    except Exception:  # whatever protobuf's Python says
        return None
    return (event.user_id, event.item_id, event.type, event.value if event.HasField("value") else None, event.time_ms, event.event_id)


def judge(record, message_class, rules):
    """An Event, or the reason for which the record is a dead letter."""
    if record.value is None:
        return "null"
    fields = _fields(record.value, message_class)
    if fields is None:
        return "undecodable"
    user, item, kind, value, when, event_id = fields
    for name, text in (("user_id", user), ("item_id", item)):
        if not 1 <= len(text.encode()) <= ID_MOST or "\0" in text:
            return name
    value = 1.0 if value is None else float(value)
    weight = WEIGHTS.get(kind, 1) * (value if kind in USE_VALUE else 1)
    if not math.isfinite(value) or not math.isfinite(weight) or abs(weight) > WEIGHT_MOST:
        return "value"
    when = when or record.logged
    if when < 0 or when > record.logged + rules.max_future_ms:
        return "time"
    return Event(record.partition, record.logged, user, item, weight, when, event_id)


# ---- events to state ------------------------------------------------------------------------------------------------

class _Slot:
    """One item in a user's history: when it came, and all its events since."""

    def __init__(self, sequence):
        self.sequence = sequence
        self.events = []

    @property
    def last(self):
        return max(when for when, _ in self.events)


class State:
    """letters: {(partition, offset): (reason, key, value)}; affinity: {user: {item: value}}; users: {item: how many hold it};
    together: {item: {other: users who hold both}}; first_seen: {item: ms}; count: {user: events on the
    items the history holds}; last_event: {user: the newest of them}."""

    def __init__(self, records, message_class, rules):
        self.rules = rules
        self.letters = {}
        self.duplicates = 0
        events = []
        for record in sorted(records):
            verdict = judge(record, message_class, rules)
            if isinstance(verdict, str):
                self.letters[record.partition, record.offset] = (verdict, record.key, record.value)
            else:
                events.append(verdict)
        events = self._without_repeats(events)
        self.events = len(events)
        self.now = max((e.when for e in events), default=-1)
        self.first_seen = {}
        for e in events:
            self.first_seen[e.item] = min(e.when, self.first_seen.get(e.item, e.when))
        histories = self._histories(events)
        self.count = {user: sum(len(slot.events) for slot in history.values()) for user, history in histories.items()}
        self.last_event = {user: max(slot.last for slot in history.values()) for user, history in histories.items()}
        self.affinity = {user: {item: self._worth(slot.events) for item, slot in history.items()} for user, history in histories.items()}
        self.users = collections.Counter(item for history in histories.values() for item in history)
        self.together = self._windowed(histories) if rules.window else self._any(histories)

    def _without_repeats(self, events):
        """All of a user's events are in one partition, in order; what is dropped leaves no trace."""
        kept, seen = [], {}
        for event in events:
            if event.event_id:
                key = event.partition, event.user, event.event_id
                times = seen.setdefault(key, [])
                if any(abs(event.logged - at) <= self.rules.dedup_window_ms for at in times):
                    self.duplicates += 1
                    continue
                times.append(event.logged)
            kept.append(event)
        return kept

    def _histories(self, events):
        histories = collections.defaultdict(dict)
        arrivals = collections.Counter()
        for event in events:
            history = histories[event.user]
            if event.item not in history:
                history[event.item] = _Slot(arrivals[event.user])
                arrivals[event.user] += 1
            history[event.item].events.append((event.when, event.weight))
            if self.rules.history_max and len(history) > self.rules.history_max:
                del history[min(history, key=lambda item: (history[item].last, history[item].sequence))]
        return histories

    def _worth(self, events):
        half_life_ms = self.rules.half_life_days * DAY_MS
        if not half_life_ms:
            return math.fsum(weight for _, weight in events)
        return math.fsum(weight * 2.0 ** (-(self.now - when) / half_life_ms) for when, weight in events)

    @staticmethod
    def _any(histories):
        holders = collections.defaultdict(int)
        for number, history in enumerate(histories.values()):
            for item in history:
                holders[item] |= 1 << number
        together = collections.defaultdict(dict)
        for (a, in_a), (b, in_b) in itertools.combinations(holders.items(), 2):
            both = (in_a & in_b).bit_count()
            if both:
                together[a][b] = together[b][a] = both
        return together

    def _windowed(self, histories):
        together = collections.defaultdict(collections.Counter)
        for history in histories.values():
            slots = sorted((slot.sequence, item) for item, slot in history.items())
            for at, (sequence, item) in enumerate(slots):
                for later, other in itertools.takewhile(lambda s: s[0] - sequence <= self.rules.window, slots[at + 1:]):
                    together[item][other] += 1
                    together[other][item] += 1
        return together
