package pubsub_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/pubsub"
)

func TestMain(m *testing.M) { natstest.Main(m) }

type placed struct {
	Total int `json:"total"`
}

// subscriber runs a Subscriber, and stores what it receives and logs.
type subscriber struct {
	mu      sync.Mutex
	handled []string
	logged  []slog.Record
	stop    context.CancelFunc
	done    chan error
}

func subscribe(t *testing.T, nc *nats.Conn, pattern string, cfg pubsub.Config, handle pubsub.Handler[placed]) *subscriber {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &subscriber{stop: stop, done: make(chan error, 1)}
	cfg.Log = slog.New(s)
	sub, err := pubsub.NewSubscriber[placed](ctx, nc, pattern, cfg)
	require.NoError(t, err)
	go func() {
		s.done <- sub.Run(ctx, func(ctx context.Context, m pubsub.Message[placed]) error {
			s.mu.Lock()
			s.handled = append(s.handled, fmt.Sprintf("%s %d", m.Subject, m.Body.Total))
			s.mu.Unlock()
			if handle != nil {
				return handle(ctx, m)
			}
			return nil
		})
	}()
	return s
}

func (s *subscriber) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.handled)
}

// end stops the Subscriber and returns what it handled.
func (s *subscriber) end(t *testing.T) []string {
	t.Helper()
	s.stop()
	require.NoError(t, <-s.done)
	return s.handled
}

// subscriber is the slog.Handler of its Subscriber.
func (s *subscriber) Enabled(context.Context, slog.Level) bool { return true }
func (s *subscriber) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *subscriber) WithGroup(string) slog.Handler            { return s }
func (s *subscriber) Handle(_ context.Context, r slog.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logged = append(s.logged, r)
	return nil
}

// attr returns the attribute of a log record, or nil.
func attr(r slog.Record, key string) (value any) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == key {
			value = a.Value.Any()
		}
		return true
	})
	return value
}
