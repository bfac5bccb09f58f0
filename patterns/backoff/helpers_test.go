package backoff_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
	"github.com/natspatterns/catalog/patterns/retry"
)

func TestMain(m *testing.M) { natstest.Main(m) }

var errDown = errors.New("503 try again later")

// steady has no random part.
var steady = retry.Policy{Initial: time.Second, Max: time.Hour}

// never returns a breaker that never opens, and plenty a budget that is never spent.
func never() *retry.Breaker { return &retry.Breaker{Failures: 1 << 30} }
func plenty() *retry.Budget { return &retry.Budget{Burst: 1 << 30} }

func policy(cfg retry.Config) backoff.Policy {
	r, err := retry.NewRetrier(cfg)
	if err != nil {
		panic(err)
	}
	return r
}

type call struct {
	id      string
	attempt int
	at      time.Duration
	ok      bool
}

func (c call) String() string { return fmt.Sprintf("%v %s attempt %d", c.at, c.id, c.attempt) }

// bank is a dependency that counts its calls. It fails when down says so; lint:bubble, in
// which it sleeps.
type bank struct {
	mu    sync.Mutex
	start time.Time
	takes time.Duration
	down  func(id string, at time.Duration) bool
	calls []call
}

func newBank(takes time.Duration, down func(id string, at time.Duration) bool) *bank {
	return &bank{start: time.Now(), takes: takes, down: down}
}

func (b *bank) book(ctx context.Context, msg backoff.Message) error {
	at := time.Since(b.start).Round(time.Millisecond)
	if b.takes > 0 {
		time.Sleep(b.takes)
	}
	c := call{msg.ID, msg.Delivery, at, b.down == nil || !b.down(msg.ID, at)}
	b.mu.Lock()
	b.calls = append(b.calls, c)
	b.mu.Unlock()
	if !c.ok {
		return errDown
	}
	return nil
}

func (b *bank) all() []call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]call{}, b.calls...)
}

func (b *bank) lines() (s []string) {
	for _, c := range b.all() {
		s = append(s, c.String())
	}
	return s
}

func until(end time.Duration) func(string, time.Duration) bool {
	return func(_ string, at time.Duration) bool { return at < end }
}

// start runs a worker until the end of the test, or until stop, which waits for it.
func start(t *testing.T, js jetstream.JetStream, cfg backoff.Config, handle backoff.Handler) (stop func()) {
	t.Helper()
	w, err := backoff.NewWorker(t.Context(), js, "bank", cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, handle) }()
	stop = sync.OnceFunc(func() { cancel(); assert.NoError(t, <-ended) })
	t.Cleanup(stop)
	return stop
}

func send(t *testing.T, js jetstream.JetStream, cfg backoff.Config, ids ...string) {
	t.Helper()
	s, err := backoff.NewSender(t.Context(), js, "bank", cfg)
	require.NoError(t, err)
	for _, id := range ids {
		require.NoError(t, s.Send(t.Context(), id, &nats.Msg{Data: []byte("of " + id)}))
	}
}

func numbered(from, to int) (ids []string) {
	for i := from; i <= to; i++ {
		ids = append(ids, fmt.Sprint("pay-", i))
	}
	return ids
}

// stream is the queue's stream, and how many messages are in it.
func stream(t *testing.T, js jetstream.JetStream) (jetstream.Stream, int) {
	t.Helper()
	s, err := js.Stream(t.Context(), "BACKOFF_bank")
	require.NoError(t, err)
	return s, int(s.CachedInfo().State.Msgs)
}

// failed returns the attempts and the reason of a failed message; 0 if it is not failed.
func failed(t *testing.T, js jetstream.JetStream, id string) (attempts int, reason string) {
	t.Helper()
	s, _ := stream(t, js)
	m, err := s.GetLastMsgForSubject(t.Context(), "backoff.bank.failed."+id)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, ""
	}
	require.NoError(t, err)
	require.Equal(t, "of "+id, string(m.Data))
	attempts, err = strconv.Atoi(m.Header.Get(backoff.HeaderDeliveries))
	require.NoError(t, err)
	return attempts, m.Header.Get(backoff.HeaderReason)
}

// early counts the calls that came less than MinDelay after the one before; less a second
// if the server restarted in between, because it stores consumers with whole seconds. The
// old server can still deliver messages while it stops.
func early(calls []call, p retry.Policy, restarts []span) (n int) {
	last := map[string]call{}
	for _, c := range calls {
		before, ok := last[c.id]
		least := p.MinDelay(before.attempt)
		for _, r := range restarts {
			if before.at <= r.to && r.from <= c.at {
				least -= time.Second
			}
		}
		if ok && c.at-before.at < least {
			n++
		}
		last[c.id] = c
	}
	return n
}

// unbudgeted counts the retries of one worker without a token: in any period there are
// at most Burst, and those that it earned in the period.
func unbudgeted(calls []call, b *retry.Budget) (most int) {
	slices.SortFunc(calls, func(a, b call) int { return int(a.at - b.at) })
	for i, first := range calls {
		retries, earned := 0.0, float64(b.Burst)
		for j := i - 4; j < len(calls); j++ { // a success earns when it ends, which can be after the next calls start
			if j < 0 {
				continue
			}
			if c := calls[j]; c.attempt > 1 && j >= i {
				retries++
				most = max(most, int(retries-earned-(c.at-first.at).Seconds()/b.Every.Seconds()-0.01))
			}
			if calls[j].ok {
				earned += b.Ratio
			}
		}
	}
	return most
}

// hammered counts the calls of one worker in an outage, except those that open its
// breaker, those in progress at that time, and one probe each time it is half-open.
func hammered(calls []call, b *retry.Breaker, concurrency int, outage span) int {
	n := 0
	for _, c := range calls {
		if c.at >= outage.from && c.at < outage.to {
			n++
		}
	}
	allowed := b.Failures - 1 + concurrency
	for opened, left := 1, outage.to-outage.from; left > 0; opened++ {
		if left -= b.Delay.MinDelay(opened); left > 0 {
			allowed++
		}
	}
	return max(n-allowed, 0)
}
