package perkey_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

// naive is a process that applies events in the order of arrival: on any worker, or byKey
// on one worker per key. It retries a failed event in place.
func naive(byKey bool, cfg perkey.Config) work {
	return func(ctx context.Context, js jetstream.JetStream, ledger perkey.Ledger) error {
		lanes := make([]chan jetstream.Msg, cfg.Concurrency)
		var all sync.WaitGroup
		for i := range lanes {
			if lanes[i] = lanes[0]; i == 0 || byKey {
				lanes[i] = make(chan jetstream.Msg)
			}
			all.Go(func() {
				for {
					select {
					case <-ctx.Done():
						return
					case m := <-lanes[i]:
						e := perkey.Event{Key: m.Subject()[strings.LastIndexByte(m.Subject(), '.')+1:], Header: m.Headers(), Data: m.Data()}
						e.Version, _ = strconv.ParseUint(e.Header.Get(perkey.HeaderVersion), 10, 64) // only for the log
						for ledger.Apply(ctx, e) != nil && ctx.Err() == nil {
							time.Sleep(100 * time.Millisecond) // lint:bubble
						}
						_ = m.Ack()
					}
				}
			})
		}
		defer all.Wait()
		for p := range cfg.Partitions {
			c, err := js.Consumer(ctx, "PERKEY_bank", fmt.Sprint("books-", p))
			if err != nil {
				return err
			}
			consuming, err := c.Consume(func(m jetstream.Msg) {
				hash := fnv.New32()
				_, _ = hash.Write([]byte(m.Subject()))
				select {
				case lanes[hash.Sum32()%uint32(len(lanes))] <- m:
				case <-ctx.Done():
				}
			}, jetstream.PullPriorityGroup("reader"), jetstream.PullExpiry(time.Second), jetstream.PullMaxMessages(100))
			if err != nil {
				return err
			}
			defer consuming.Stop()
		}
		<-ctx.Done()
		return nil
	}
}

// careless is a ledger that applies each event once, in any order.
type careless struct{ *bank }

func (c careless) Apply(_ context.Context, e perkey.Event) error {
	id := e.Key + "." + strconv.FormatUint(e.Version, 10)
	c.mu.Lock()
	c.tries[id]++
	try := c.tries[id]
	c.mu.Unlock()
	time.Sleep(c.takes) // lint:bubble the work, in the benchmark too
	if c.fails == nil {
		return c.once(e)
	}
	in, err := c.fails(e, try)
	if in {
		err = errors.Join(c.once(e), err)
	}
	return err
}

// once books e unless it is stored, in any order.
func (b *bank) once(e perkey.Event) error {
	if slices.Contains(b.now().log[e.Key], e.Version) {
		return nil
	}
	return b.book(e, false)
}

// The same events, applied in the order of arrival.
func TestEveryInterleavingFindsMutant(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(10*time.Millisecond)
		b.fails = failing
		_, err := perkey.NewDispatcher(t.Context(), js, "bank", "books", quiet(perkey.Config{}))
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		crowd := s.JetStream("crowd")
		go func() { done <- naive(false, perkey.Config{Concurrency: 16, Partitions: 1})(ctx, crowd, careless{b}) }()
		keys := interleavings(t, js)
		time.Sleep(10 * time.Second)
		stop()
		require.NoError(t, <-done)
		t.Logf("in the order of arrival: %d of %d accounts end wrong", b.wrong(keys), len(keys))
		require.Greater(t, b.wrong(keys), len(keys)/3)
	})
}
