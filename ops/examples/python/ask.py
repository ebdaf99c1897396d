"""Tells Freshet that a user clicked on an item, then asks what to show next, and why."""
import os
import sys

import confluent_kafka
import grpc

from freshet.v1 import events_pb2, recommender_pb2, recommender_pb2_grpc

user, item = sys.argv[1:]
written = []


def delivered(err, message):
    if err:
        raise confluent_kafka.KafkaException(err)
    written.append(recommender_pb2.Position(topic=message.topic(), partition=message.partition(), offset=message.offset() + 1))


# murmur2_random is Java's partitioner: all of a user's events must be in one partition.
producer = confluent_kafka.Producer({"bootstrap.servers": os.environ.get("FRESHET_BROKERS", "127.0.0.1:9092"), "partitioner": "murmur2_random",
                                     "message.timeout.ms": 10000})
event = events_pb2.Event(user_id=user, item_id=item, type="click")
producer.produce("events", key=user, value=event.SerializeToString(), on_delivery=delivered)
producer.flush()

# not_before: the answer has seen the click.
with grpc.insecure_channel(os.environ.get("FRESHET_SERVER", "127.0.0.1:50051")) as channel:
    request = recommender_pb2.RecommendRequest(user_id=user, k=5, explain=True, not_before=written)
    for r in recommender_pb2_grpc.RecommenderStub(channel).Recommend(request, timeout=10).items:
        print(f"{r.item_id} {r.score:.6f} because of", ", ".join(f"{reason.item_id} {reason.contribution:+.6f}" for reason in r.reasons))
