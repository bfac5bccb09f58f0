package perkey_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

// crowd is the twin that is fast and wrong: as many workers as there are of one
// consumer, each of which applies what it gets. It returns when ctx ends.
func crowd(ctx context.Context, t testing.TB, js jetstream.JetStream, b *bank, workers int) (stop func()) {
	t.Helper()
	c, err := js.CreateOrUpdateConsumer(ctx, "PERKEY_bank", jetstream.ConsumerConfig{Durable: "crowd", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 5 * time.Second})
	require.NoError(t, err)
	msgs := make(chan jetstream.Msg)
	done := make(chan struct{}, workers)
	for range workers {
		go func() {
			for m := range msgs {
				version, _ := strconv.ParseUint(m.Headers().Get(perkey.HeaderVersion), 10, 64)
				e := perkey.Event{Key: m.Subject()[strings.LastIndexByte(m.Subject(), '.')+1:], Version: version, Data: m.Data()}
				if b.naive(e) == nil {
					_ = m.Ack()
				} else {
					_ = m.NakWithDelay(100 * time.Millisecond)
				}
			}
			done <- struct{}{}
		}()
	}
	consuming, err := c.Consume(func(m jetstream.Msg) { msgs <- m }, jetstream.PullMaxMessages(100))
	require.NoError(t, err)
	return func() {
		consuming.Stop()
		<-consuming.Closed()
		close(msgs)
		for range workers {
			<-done
		}
	}
}

// naive applies e whatever came before.
func (b *bank) naive(e perkey.Event) error {
	id := e.Key + "." + strconv.FormatUint(e.Version, 10)
	b.mu.Lock()
	b.tries[id]++
	try := b.tries[id]
	b.mu.Unlock()
	time.Sleep(b.takes) // lint:bubble the work, in the benchmark too
	if b.fails != nil {
		if in, err := b.fails(e, try); err != nil {
			if in {
				_ = b.book(e, false)
			}
			return err
		}
	}
	return b.book(e, false)
}

// wrong counts the accounts on which not 80 is left.
func (b *bank) wrong(keys []string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range keys {
		if b.balance[k] != 80 {
			n++
		}
	}
	return n
}

// The same stories, applied as they come.
func TestEveryInterleavingFindsTwin(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(10*time.Millisecond)
		b.fails = failing
		_, err := perkey.New(t.Context(), js, "bank", "books", quiet(perkey.Config{}))
		require.NoError(t, err)
		stop := crowd(t.Context(), t, s.JetStream("crowd"), b, 16)
		keys := interleavings(t, js)
		time.Sleep(10 * time.Second)
		stop()
		t.Logf("as they come: %d of %d accounts end wrong", b.wrong(keys), len(keys))
		require.Greater(t, b.wrong(keys), len(keys)/2)
	})
}

// story publishes n events of each key, either numbered by key or all as one; each
// tells the account in its header.
func story(t testing.TB, js jetstream.JetStream, keys, n int, shared bool) {
	t.Helper()
	number := uint64(0)
	for i := range n {
		for k := range keys {
			number++
			e := event("account-"+strconv.Itoa(k), uint64(i)+1, 1)
			if shared { // the last event of all is what counts
				e.Key, e.Version = "all", number
			}
			publish(t, js, e)
		}
	}
}

// One last event for all keys serialises them; one for each does not. On the fake
// clock the difference is exact.
func TestSharedSerialises(t *testing.T) {
	for name, c := range map[string]struct {
		shared bool
		want   time.Duration
		most   int
	}{
		"shared by all":  {true, 10 * 8 * 10 * time.Millisecond, 1},
		"by resource id": {false, 10 * 10 * time.Millisecond, 8},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, b := s.JetStream("owner"), newBank(10*time.Millisecond)
				_, err := perkey.New(t.Context(), js, "bank", "books", quiet(perkey.Config{}))
				require.NoError(t, err)
				story(t, js, 8, 10, c.shared)
				start := time.Now()
				stop := run(t, s.JetStream("books"), b, perkey.Config{})
				time.Sleep(5 * time.Second)
				require.NoError(t, stop())
				sum := 0
				for _, balance := range b.balance {
					sum += balance
				}
				require.Equal(t, 80, sum)
				require.Equal(t, c.most, b.most, "accounts at a time")
				require.Equal(t, c.want, b.end.Sub(start).Round(time.Millisecond))
			})
		})
	}
}
