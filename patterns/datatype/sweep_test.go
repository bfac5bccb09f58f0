package datatype_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datatype"
)

var histories = flag.Uint64("histories", 4, "fault histories to run")

// handled counts the handled messages by stream sequence.
type handled struct {
	sync.Mutex
	times  map[uint64]int
	random *rand.Rand
}

func (h *handled) handle(_ context.Context, m datatype.Message[VisitV2]) error {
	h.Lock()
	defer h.Unlock()
	if m.Value.Minutes == 13 {
		return fmt.Errorf("%w: no such patient", datatype.ErrPoison)
	}
	if h.random.IntN(8) == 0 {
		return errTemporary
	}
	h.times[m.Sequence]++
	return nil
}

var errTemporary = errors.New("temporary")

// reader reads until ctx ends.
type reader func(ctx context.Context, t *testing.T, js jetstream.JetStream, cfg datatype.Config, h *handled)

func guarded(ctx context.Context, t *testing.T, js jetstream.JetStream, cfg datatype.Config, h *handled) {
	_, two, _ := visits(t)
	for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		c, err := datatype.NewChannel(ctx, js, "visit", two, cfg)
		if err != nil {
			continue
		}
		consume(ctx, js, func(cons jetstream.Consumer) (jetstream.MessageHandler, error) { return c.Guard(ctx, cons, h.handle) })
	}
}

// ackFirst is the mutant that acks an invalid message before it is diverted.
func ackFirst(ctx context.Context, t *testing.T, js jetstream.JetStream, _ datatype.Config, h *handled) {
	_, two, _ := visits(t)
	for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		consume(ctx, js, func(jetstream.Consumer) (jetstream.MessageHandler, error) {
			return func(m jetstream.Msg) {
				meta := must(m.Metadata())
				v, err := two.Decode(m.Headers(), m.Data())
				if err == nil {
					err = h.handle(ctx, datatype.Message[VisitV2]{Value: v, Sequence: meta.Sequence.Stream})
				}
				switch {
				case err == nil:
					_ = m.Ack()
				case errors.Is(err, errTemporary):
					_ = m.NakWithDelay(time.Second)
				default:
					_ = m.Ack()
					time.Sleep(300 * time.Millisecond) // the time of a slow copy
					bad := &nats.Msg{Subject: fmt.Sprintf("invalid.visit.billing.%d.0", meta.Sequence.Stream), Header: nats.Header{datatype.HeaderSequence: {fmt.Sprint(meta.Sequence.Stream)}, datatype.HeaderReason: {"bad"}}}
					_, _ = js.PublishMsg(ctx, bad)
				}
			}, nil
		})
	}
}

func consume(ctx context.Context, js jetstream.JetStream, guard func(jetstream.Consumer) (jetstream.MessageHandler, error)) {
	try, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	cons, err := js.Consumer(try, "DATATYPE_visit", "billing")
	if err != nil {
		return
	}
	h, err := guard(cons)
	if err != nil {
		return
	}
	c, err := cons.Consume(h, jetstream.PullMaxMessages(8))
	if err != nil {
		return
	}
	<-ctx.Done()
	c.Stop()
	<-c.Closed()
}

// history publishes valid and invalid messages for a reader of version 2 during
// disconnects, crashes of readers and server restarts, and returns the violations.
func history(t *testing.T, seed uint64, work reader) (violations string) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		random := rand.New(rand.NewPCG(seed, 0))
		h := &handled{times: map[uint64]int{}, random: rand.New(rand.NewPCG(seed, 1))}
		one, two, three := visits(t)
		js, cfg := s.JetStream("publisher"), memory
		if seed%4 == 0 { // files are slow
			cfg.Storage = jetstream.FileStorage
		}
		c1, c2, c3 := must(datatype.NewChannel(t.Context(), js, "visit", one, cfg)), must(datatype.NewChannel(t.Context(), js, "visit", two, cfg)), must(datatype.NewChannel(t.Context(), js, "visit", three, cfg))
		must(js.CreateConsumer(t.Context(), "DATATYPE_visit", jetstream.ConsumerConfig{Durable: "billing", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1}))
		faults, stopFaults := context.WithTimeout(t.Context(), 8*time.Second)
		defer stopFaults()
		var all sync.WaitGroup
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, 2))
			for n := range 40 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				switch kind := random.IntN(7); kind {
				case 0, 1:
					_, _ = c1.Publish(ctx, "ann", VisitV1{"p-1", "Ann Lee", n})
				case 2, 3:
					_, _ = c2.Publish(ctx, "bob", VisitV2{"p-2", "Bob Day", n, "7"})
				case 4:
					_, _ = c3.Publish(ctx, "cid", VisitV3{Patient: "p-3", Urgency: "low"})
				default:
					bad := [][]byte{[]byte("{"), []byte(`{"patient":7}`)}[kind-5]
					m := as("visit", 1, 1, string(bad))
					_, _ = js.PublishMsg(ctx, m)
				}
				cancel()
				time.Sleep(200 * time.Millisecond)
			}
		})
		name, live, crash := "", context.Context(nil), context.CancelFunc(func() {})
		for starts := 0; faults.Err() == nil; starts++ {
			name = fmt.Sprint("reader-", starts)
			live, crash = context.WithCancel(t.Context())
			mine, ctx := s.JetStream(name), live
			all.Go(func() { work(ctx, t, mine, cfg, h) })
			life, end := context.WithTimeout(faults, time.Duration(1+random.IntN(4))*time.Second)
			s.InjectFaults(life, random, []string{"publisher", name}, 200*time.Millisecond, cfg.Storage == jetstream.FileStorage)
			end()
			if faults.Err() == nil {
				s.Link(name).Down() // it crashes
				crash()
			}
		}
		time.Sleep(3 * time.Minute) // the messages of crashed readers are redelivered after 30 s
		violations = audit(t, js, h)
		crash()
		all.Wait()
	})
	return violations
}

// audit compares the handled and the diverted messages with the stored ones.
func audit(t *testing.T, js jetstream.JetStream, h *handled) (violations string) {
	_, two, _ := visits(t)
	h.Lock()
	defer h.Unlock()
	diverted := map[string][]string{}
	for _, m := range stored(t, js, "INVALID_visit") {
		seq := m.Header.Get(datatype.HeaderSequence)
		diverted[seq] = append(diverted[seq], m.Header.Get(datatype.HeaderReason))
	}
	for _, m := range stored(t, js, "DATATYPE_visit") {
		v, err := two.Decode(m.Header, m.Data)
		reasons, good := diverted[fmt.Sprint(m.Sequence)], err == nil && v.Minutes != 13
		if good && (h.times[m.Sequence] == 0 || len(reasons) > 0) || !good && (h.times[m.Sequence] > 0 || len(reasons) != 1 || reasons[0] == "") {
			violations += fmt.Sprintf("%d: %v, handled %d times, diverted for %q\n", m.Sequence, err, h.times[m.Sequence], reasons)
		}
	}
	info, err := must(js.Consumer(t.Context(), "DATATYPE_visit", "billing")).Info(t.Context())
	require.NoError(t, err)
	if info.NumPending > 0 || info.NumAckPending > 0 {
		violations += fmt.Sprintf("%d not delivered, %d not acknowledged\n", info.NumPending, info.NumAckPending)
	}
	return violations
}

// Each message is handled once or more, or diverted once with its reason: none is lost,
// and none is both.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		if violations := history(t, seed, guarded); violations != "" {
			t.Fatalf("seed %d: %s", seed, violations)
		}
	}
}

func TestSweepFindsAckFirst(t *testing.T) {
	found := 0
	for seed := range uint64(3) {
		if violations := history(t, seed, ackFirst); violations != "" {
			found++
			t.Log(violations)
		}
	}
	t.Logf("ack first: violations in %d of 3 histories", found)
	require.Greater(t, found, 1)
}
