// Command ask tells Freshet that a user clicked on an item, then asks what to show next, and why.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	pb "ask/build/freshet"
)

func main() {
	user, item := os.Args[1], os.Args[2]
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	// franz-go's default partitioner is Java's for records with a key: the one that Freshet needs.
	event := must(proto.Marshal(&pb.Event{UserId: user, ItemId: item, Type: "click"}))
	producer := must(kgo.NewClient(kgo.SeedBrokers(env("FRESHET_BROKERS", "127.0.0.1:9092"))))
	defer producer.Close()
	at := must(producer.ProduceSync(ctx, &kgo.Record{Topic: "events", Key: []byte(user), Value: event}).First())

	// NotBefore: the answer has seen the click.
	conn := must(grpc.Dial(env("FRESHET_SERVER", "127.0.0.1:50051"), grpc.WithTransportCredentials(insecure.NewCredentials())))
	defer conn.Close()
	answer := must(pb.NewRecommenderClient(conn).Recommend(ctx, &pb.RecommendRequest{UserId: user, K: 5, Explain: true,
		NotBefore: []*pb.Position{{Topic: at.Topic, Partition: at.Partition, Offset: at.Offset + 1}}}))
	for _, r := range answer.Items {
		because := []string{}
		for _, reason := range r.Reasons {
			because = append(because, fmt.Sprintf("%s %+.6f", reason.ItemId, reason.Contribution))
		}
		fmt.Printf("%s %.6f because of %s\n", r.ItemId, r.Score, strings.Join(because, ", "))
	}
}

func env(name, standard string) string {
	if value, set := os.LookupEnv(name); set {
		return value
	}
	return standard
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
