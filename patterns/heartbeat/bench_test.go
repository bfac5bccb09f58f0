package heartbeat_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/heartbeat"
)

const (
	beats = 200_000
	burst = 20_000 // heartbeats in flight; a subscription buffers 65,536
)

// publisher publishes heartbeats of n instances in turn, a burst at a time; received
// waits until the burst was read.
func publisher(b *testing.B, nc *nats.Conn, n int, received func()) time.Duration {
	all := messages(n)
	start := time.Now()
	for i := range beats {
		if err := nc.PublishMsg(all[i%n]); err != nil {
			b.Fatal(err)
		}
		if i%burst == burst-1 {
			if err := nc.Publish(fmt.Sprintf("heartbeat.mark-%d", i), []byte(`{"seq":1,"ttl_ms":3600000}`)); err != nil {
				b.Fatal(err)
			}
			received()
		}
	}
	return time.Since(start)
}

// monitored publishes heartbeats of n instances to a Monitor.
func monitored(n int) func(b *testing.B) time.Duration {
	return func(b *testing.B) time.Duration {
		s := natstest.Start(b)
		ctx, cancel := context.WithCancel(b.Context())
		mon, err := heartbeat.NewMonitor(ctx, s.Connect("monitor"), heartbeat.Config{})
		if err != nil {
			b.Fatal(err)
		}
		marks, done := make(chan struct{}), make(chan error)
		go func() {
			done <- mon.Run(ctx, func(c heartbeat.Change) {
				if strings.HasPrefix(c.ID, "mark-") {
					marks <- struct{}{}
				}
			})
		}()
		took := publisher(b, s.Connect("instances"), n, func() { <-marks })
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		return took
	}
}

// plain only reads and decodes as many heartbeats.
func plain(b *testing.B) time.Duration {
	s := natstest.Start(b)
	sub, err := s.Connect("monitor").SubscribeSync("heartbeat.*")
	if err != nil {
		b.Fatal(err)
	}
	return publisher(b, s.Connect("instances"), 1000, func() {
		for range burst + 1 {
			msg, err := sub.NextMsgWithContext(b.Context())
			var v struct {
				Seq uint64 `json:"seq"`
				TTL int64  `json:"ttl_ms"`
			}
			if err == nil {
				err = json.Unmarshal(msg.Data, &v)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func messages(n int) []*nats.Msg {
	all := make([]*nats.Msg, n)
	for i := range all {
		all[i] = &nats.Msg{Subject: fmt.Sprintf("heartbeat.i-%d", i), Data: []byte(`{"seq":1,"ttl_ms":3600000}`)}
	}
	return all
}

func BenchmarkBeat(b *testing.B) {
	ratio.Bar{Pattern: "heartbeat", Metric: "heartbeats, beside decoding them only", AtLeast: 0.75}.Compare(b, plain, monitored(1000))
}

// The cost of a heartbeat does not depend on how many instances there are.
func BenchmarkInstances(b *testing.B) {
	ratio.Bar{Pattern: "heartbeat", Metric: "heartbeats of 100,000 instances, beside of 1,000", AtLeast: 0.6}.Compare(b, monitored(1000), monitored(100_000))
}
