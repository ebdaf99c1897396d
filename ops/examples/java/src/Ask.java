import freshet.v1.Events.Event;
import freshet.v1.RecommenderGrpc;
import freshet.v1.RecommenderOuterClass.Position;
import freshet.v1.RecommenderOuterClass.Reason;
import freshet.v1.RecommenderOuterClass.RecommendRequest;
import freshet.v1.RecommenderOuterClass.Recommendation;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Tells Freshet that a user clicked on an item, then asks what to show next, and why. */
public class Ask {
    public static void main(String[] args) throws Exception {
        var user = args[0];
        var item = args[1];
        var env = System.getenv();

        // Java's default partitioner is the one that Freshet needs.
        var event = Event.newBuilder().setUserId(user).setItemId(item).setType("click").build();
        var settings = Map.<String, Object>of("bootstrap.servers", env.getOrDefault("FRESHET_BROKERS", "127.0.0.1:9092"), "max.block.ms", 10000);
        Position written;
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            var at = producer.send(new ProducerRecord<>("events", user, event.toByteArray())).get(10, TimeUnit.SECONDS);
            written = Position.newBuilder().setTopic(at.topic()).setPartition(at.partition()).setOffset(at.offset() + 1).build();
        }

        // not_before: the answer has seen the click.
        var channel = Grpc.newChannelBuilder(env.getOrDefault("FRESHET_SERVER", "127.0.0.1:50051"), InsecureChannelCredentials.create()).build();
        var answer = RecommenderGrpc.newBlockingStub(channel).withDeadlineAfter(10, TimeUnit.SECONDS).recommend(
            RecommendRequest.newBuilder().setUserId(user).setK(5).setExplain(true).addNotBefore(written).build());
        answer.getItemsList().forEach(Ask::show);
        channel.shutdownNow().awaitTermination(10, TimeUnit.SECONDS);
    }

    static void show(Recommendation r) {
        System.out.printf(Locale.ROOT, "%s %.6f because of %s%n", r.getItemId(), r.getScore(),
            r.getReasonsList().stream().map(Ask::words).collect(Collectors.joining(", ")));
    }

    static String words(Reason reason) {
        return String.format(Locale.ROOT, "%s %+.6f", reason.getItemId(), reason.getContribution());
    }
}
