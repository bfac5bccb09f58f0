package schema_test

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
	"github.com/natspatterns/catalog/patterns/schema"
)

var histories = flag.Uint64("histories", 4, "fault histories to go through")

// book notes what was handled, by stream sequence.
type book struct {
	sync.Mutex
	handled map[uint64]int
	chance  *rand.Rand
}

func (b *book) handle(_ context.Context, m schema.Message[VisitV2]) error {
	b.Lock()
	defer b.Unlock()
	if m.Value.Minutes == 13 {
		return fmt.Errorf("%w: not with us", schema.ErrRefused)
	}
	if b.chance.IntN(8) == 0 {
		return errors.New("a bad day")
	}
	b.handled[m.Sequence]++
	return nil
}

// process reads as long as it lives.
type process func(ctx context.Context, t *testing.T, js jetstream.JetStream, b *book)

func honest(ctx context.Context, t *testing.T, js jetstream.JetStream, b *book) {
	_, two, _ := visits(t)
	for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		c, err := schema.NewChannel(ctx, js, two, schema.Config{Log: quiet})
		if err != nil {
			continue
		}
		consume(ctx, js, func(cons jetstream.Consumer) (jetstream.MessageHandler, error) { return c.Guard(ctx, cons, b.handle) })
	}
}

// ackFirst is the twin that acks what it cannot read, and then tells.
func ackFirst(ctx context.Context, t *testing.T, js jetstream.JetStream, b *book) {
	_, two, _ := visits(t)
	for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		consume(ctx, js, func(cons jetstream.Consumer) (jetstream.MessageHandler, error) {
			return func(m jetstream.Msg) {
				meta := must(m.Metadata())
				v, err := two.Decode(m.Headers(), m.Data())
				if err == nil {
					err = b.handle(ctx, schema.Message[VisitV2]{Value: v, Sequence: meta.Sequence.Stream})
				}
				if err == nil {
					_ = m.Ack()
				} else if err.Error() == "a bad day" {
					_ = m.NakWithDelay(time.Second)
				} else {
					_ = m.Ack()
					time.Sleep(300 * time.Millisecond) // to write the report takes a while
					bad := &nats.Msg{Subject: fmt.Sprintf("invalid.visit.billing.%d.0", meta.Sequence.Stream), Header: nats.Header{schema.HeaderSequence: {fmt.Sprint(meta.Sequence.Stream)}, schema.HeaderReason: {"bad"}}}
					_, _ = js.PublishMsg(ctx, bad)
				}
			}, nil
		})
	}
}

func consume(ctx context.Context, js jetstream.JetStream, guard func(jetstream.Consumer) (jetstream.MessageHandler, error)) {
	try, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	cons, err := js.Consumer(try, "SCHEMA_visit", "billing")
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

// history sends good messages and bad ones to a reader of version 2 while lines are
// cut, readers die and the server restarts, and tells what is amiss in the end.
func history(t *testing.T, seed uint64, work process) (amiss string) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		chance := rand.New(rand.NewPCG(seed, 0))
		b := &book{handled: map[uint64]int{}, chance: rand.New(rand.NewPCG(seed, 1))}
		one, two, three := visits(t)
		js, cfg := s.JetStream("sender"), schema.Config{Log: quiet, Storage: jetstream.MemoryStorage}
		if seed%4 == 0 { // files are slow
			cfg.Storage = jetstream.FileStorage
		}
		c1, c2, c3 := must(schema.NewChannel(t.Context(), js, one, cfg)), must(schema.NewChannel(t.Context(), js, two, cfg)), must(schema.NewChannel(t.Context(), js, three, cfg))
		must(js.CreateConsumer(t.Context(), "SCHEMA_visit", jetstream.ConsumerConfig{Durable: "billing", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1}))
		calm, quieten := context.WithTimeout(t.Context(), 8*time.Second)
		defer quieten()
		var all sync.WaitGroup
		all.Go(func() {
			chance := rand.New(rand.NewPCG(seed, 2))
			for n := range 40 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				switch kind := chance.IntN(7); kind {
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
		name, live, die := "", context.Context(nil), context.CancelFunc(func() {})
		for born := 0; calm.Err() == nil; born++ {
			name = fmt.Sprint("reader-", born)
			live, die = context.WithCancel(t.Context())
			mine, ctx := s.JetStream(name), live
			all.Go(func() { work(ctx, t, mine, b) })
			life, end := context.WithTimeout(calm, time.Duration(1+chance.IntN(4))*time.Second)
			s.InjectFaults(life, chance, []string{"sender", name}, 200*time.Millisecond, cfg.Storage == jetstream.FileStorage)
			end()
			if calm.Err() == nil {
				s.Link(name).Down() // it dies without a word
				die()
			}
		}
		time.Sleep(3 * time.Minute) // what the dead were given comes again after 30s
		amiss = audit(t, js, b)
		die()
		all.Wait()
	})
	return amiss
}

// audit holds what was handled and diverted against what was stored.
func audit(t *testing.T, js jetstream.JetStream, b *book) (amiss string) {
	_, two, _ := visits(t)
	b.Lock()
	defer b.Unlock()
	diverted := map[string][]string{}
	for _, m := range stored(t, js, "INVALID_visit") {
		seq := m.Header.Get(schema.HeaderSequence)
		diverted[seq] = append(diverted[seq], m.Header.Get(schema.HeaderReason))
	}
	for _, m := range stored(t, js, "SCHEMA_visit") {
		v, err := two.Decode(m.Header, m.Data)
		reasons, good := diverted[fmt.Sprint(m.Sequence)], err == nil && v.Minutes != 13
		if good && (b.handled[m.Sequence] == 0 || len(reasons) > 0) || !good && (b.handled[m.Sequence] > 0 || len(reasons) != 1 || reasons[0] == "") {
			amiss += fmt.Sprintf("%d: %v, handled %d times, diverted for %q\n", m.Sequence, err, b.handled[m.Sequence], reasons)
		}
	}
	info, err := must(js.Consumer(t.Context(), "SCHEMA_visit", "billing")).Info(t.Context())
	require.NoError(t, err)
	if info.NumPending > 0 || info.NumAckPending > 0 {
		amiss += fmt.Sprintf("%d not delivered, %d not settled\n", info.NumPending, info.NumAckPending)
	}
	return amiss
}

// Each message is handled, once or more, or diverted once with its reason; none is
// lost, none is both.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		if amiss := history(t, seed, honest); amiss != "" {
			t.Fatalf("seed %d: %s", seed, amiss)
		}
	}
}

func TestSweepFindsTwin(t *testing.T) {
	found := 0
	for seed := range uint64(3) {
		if amiss := history(t, seed, ackFirst); amiss != "" {
			found++
			t.Log(amiss)
		}
	}
	t.Logf("ack first: %d of 3 histories found out", found)
	require.Greater(t, found, 1)
}
