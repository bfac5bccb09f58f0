package envelope_test

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	mrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/envelope"
)

var histories = flag.Uint64("histories", 6, "fault histories to run")

// next returns the envelope of the message that a handler publishes.
type next func(cause envelope.Envelope, source, typ string) envelope.Envelope

func right(cause envelope.Envelope, source, typ string) envelope.Envelope {
	return cause.Next(source, typ, cause.ID+"."+typ)
}

// The mutants: a new ID for each attempt, and a new envelope at each hop.
func newIDs(cause envelope.Envelope, source, typ string) envelope.Envelope {
	return cause.Next(source, typ, rand.Text())
}

func forgetful(cause envelope.Envelope, source, typ string) envelope.Envelope {
	return envelope.New(source, typ, cause.ID+"."+typ)
}

// history sends ten orders through two services, with disconnects and server restarts.
// Each service publishes its message before it acks the cause, and can crash between
// the two. It returns the violations.
func history(t *testing.T, s *natstest.Server, seed uint64, name next) (wrong []string) {
	rng, ctx := mrand.New(mrand.NewPCG(seed, 1)), t.Context()
	shop := s.JetStream("shop")
	all := must(shop.CreateStream(ctx, jetstream.StreamConfig{Name: "ALL", Subjects: []string{"all.>"}, Duplicates: time.Hour}))
	tracer, done := envelope.NewTracer(nil), make(chan struct{})
	var services sync.WaitGroup
	serve := func(in, out string, delay time.Duration, crashes []int) {
		js := s.JetStream(in)
		cons := must(all.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: in, FilterSubject: "all." + in, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second}))
		cons = must(js.Consumer(ctx, "ALL", cons.CachedInfo().Name))
		services.Go(func() {
			for n := 0; ; {
				select {
				case <-done:
					return
				case <-time.After(delay):
				}
				m, err := cons.Next(jetstream.FetchMaxWait(300 * time.Millisecond))
				if err != nil {
					continue
				}
				if err := tracer.Handle(ctx, m, func(ctx context.Context, e envelope.Envelope, _ []byte) error {
					ctx, cancel := context.WithTimeout(ctx, time.Second)
					defer cancel()
					return tracer.Publish(ctx, js, &nats.Msg{Subject: "all." + out}, name(e, "/"+in, out))
				}); err != nil {
					continue // it comes again
				}
				if n++; n == crashes[0] || n == crashes[1] {
					continue // dead before the ack
				}
				_ = m.Ack() // if it is lost, the message comes again
			}
		})
	}
	serve("placed", "paid", 11*time.Millisecond, []int{1 + rng.IntN(5), 6 + rng.IntN(5)})
	serve("paid", "sent", 13*time.Millisecond, []int{1 + rng.IntN(5), 6 + rng.IntN(5)})
	services.Go(func() {
		rng := mrand.New(mrand.NewPCG(seed, 2))
		for range 3 {
			time.Sleep(time.Duration(200+rng.IntN(1000)) * time.Millisecond)
			s.Link([]string{"shop", "placed", "paid"}[rng.IntN(3)]).Cut()
		}
		if rng.IntN(2) == 0 {
			s.Stop()
			time.Sleep(300 * time.Millisecond)
			if err := s.Start(); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 10 {
		e := envelope.New("/shop", "placed", fmt.Sprintf("order-%d", i))
		for {
			try, cancel := context.WithTimeout(ctx, time.Second)
			err := tracer.Publish(try, shop, &nats.Msg{Subject: "all.placed"}, e)
			cancel()
			if err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
	}
	time.Sleep(20 * time.Second)
	close(done)
	services.Wait()
	return audit(t, all)
}

// audit compares the stream with what it should hold: for each order three messages of
// one conversation, each the cause of the next.
func audit(t *testing.T, s jetstream.Stream) (wrong []string) {
	want := map[string]bool{}
	for i := range 10 {
		o := fmt.Sprintf("order-%d", i)
		want[fmt.Sprint("placed ", o, " ")] = true
		want[fmt.Sprint("paid ", o, " ", o)] = true
		want[fmt.Sprint("sent ", o, " ", o, ".paid")] = true
	}
	for seq := range info(t, s).State.LastSeq {
		m := must(s.GetMsg(context.Background(), seq+1))
		e, _, err := envelope.Read(m.Header, m.Data)
		require.NoError(t, err)
		is := fmt.Sprint(e.Type, " ", e.Correlation, " ", e.Causation)
		if !want[is] {
			wrong = append(wrong, "too much: "+is)
		}
		delete(want, is)
	}
	for is := range want {
		wrong = append(wrong, "missing: "+is)
	}
	return wrong
}

// With disconnects and crashes, each caused message is stored once, with its cause.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			require.Empty(t, history(t, s, seed, right), "seed %d", seed)
		})
	}
}

// Each mutant is found, in each history.
func TestMutants(t *testing.T) {
	for what, mutant := range map[string]next{"a new ID for each attempt": newIDs, "a new envelope at each hop": forgetful} {
		t.Run(what, func(t *testing.T) {
			wrong := 0
			for seed := range uint64(3) {
				natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
					found := len(history(t, s, seed, mutant))
					require.NotZero(t, found, "seed %d", seed)
					wrong += found
				})
			}
			t.Logf("%d wrong messages in 3 histories of 30", wrong)
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
