package backoff_test

import (
	"context"
	"errors"
	"fmt"
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
)

func TestMain(m *testing.M) { natstest.Main(m) }

var errDown = errors.New("503 try again later")

// steady has no chance in it.
var steady = backoff.Policy{First: time.Second, Ceiling: time.Hour}

// open is no breaker, and plenty no budget.
var (
	open   = backoff.Breaker{Failures: 1 << 30, Wait: steady}
	plenty = backoff.Budget{Burst: 1 << 30, Every: time.Second}
)

type call struct {
	id   string
	try  int
	at   time.Duration
	fine bool
}

func (c call) String() string { return fmt.Sprintf("%v %s try %d", c.at, c.id, c.try) }

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
	c := call{msg.ID, msg.Try, at, b.down == nil || !b.down(msg.ID, at)}
	b.mu.Lock()
	b.calls = append(b.calls, c)
	b.mu.Unlock()
	if !c.fine {
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

// failed returns the tries and the reason of a message that was given up, or 0.
func failed(t *testing.T, js jetstream.JetStream, id string) (tries int, reason string) {
	t.Helper()
	s, _ := stream(t, js)
	m, err := s.GetLastMsgForSubject(t.Context(), "backoff.bank.failed."+id)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, ""
	}
	require.NoError(t, err)
	require.Equal(t, "of "+id, string(m.Data))
	tries, err = strconv.Atoi(m.Header.Get(backoff.HeaderTries))
	require.NoError(t, err)
	return tries, m.Header.Get(backoff.HeaderReason)
}
