package deadletter_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/deadletter"
)

func TestMain(m *testing.M) { natstest.Main(m) }

var retentions = []jetstream.RetentionPolicy{jetstream.WorkQueuePolicy, jetstream.InterestPolicy, jetstream.LimitsPolicy}

// scene is the stream ORDERS, with a consumer "packing", and the channel "orders".
type scene struct {
	*natstest.Server
	t     *testing.T
	js    jetstream.JetStream
	ch    *deadletter.Channel
	start time.Time

	mu    sync.Mutex // guards what follows, and is held for no time
	notes []string
}

func newScene(t *testing.T, s *natstest.Server, how jetstream.RetentionPolicy, cfg deadletter.Config) *scene {
	sc := &scene{Server: s, t: t, js: s.JetStream("client"), start: time.Now()}
	sc.stream(how)
	sc.consumer("packing", 0)
	var err error
	sc.ch, err = deadletter.NewChannel(t.Context(), sc.js, "orders", cfg)
	require.NoError(t, err)
	return sc
}

func (s *scene) stream(how jetstream.RetentionPolicy) {
	_, err := s.js.CreateStream(s.t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, Retention: how, AllowMsgTTL: true, AllowMsgSchedules: true})
	require.NoError(s.t, err)
}

// consumer makes a consumer; with a maxDeliver it is one that cannot be guarded.
func (s *scene) consumer(name string, maxDeliver int) jetstream.Consumer {
	cons, err := s.js.CreateOrUpdateConsumer(s.t.Context(), "ORDERS", jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxDeliver: cmp.Or(maxDeliver, -1)})
	require.NoError(s.t, err)
	return cons
}

func (s *scene) send(bodies ...string) {
	s.t.Helper()
	for _, body := range bodies {
		_, err := s.js.PublishMsg(s.t.Context(), &nats.Msg{Subject: "orders.new", Header: nats.Header{"Trace": {"t-" + body}}, Data: []byte(body)})
		require.NoError(s.t, err)
	}
}

func (s *scene) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, fmt.Sprint(time.Since(s.start).Round(10*time.Millisecond), " ", fmt.Sprintf(format, args...)))
}

func (s *scene) noted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.notes
	s.notes = nil
	return n
}

// handle does what the body of a message says.
func (s *scene) handle(who string) deadletter.Handler {
	return func(_ context.Context, msg deadletter.Message) error {
		what := string(msg.Data)
		s.note("%s: %s", who, what)
		switch {
		case strings.HasPrefix(what, "fails"):
			return errors.New("no stock")
		case strings.HasPrefix(what, "poison"):
			return fmt.Errorf("%w: no such article", deadletter.ErrPoison)
		case strings.HasPrefix(what, "panics"):
			panic("a nil map")
		}
		return nil
	}
}

// work consumes by a guarded handler on a connection named who, until stop.
func (s *scene) work(who string, cons string, handle deadletter.Handler, cfg deadletter.Config) (stop func()) {
	s.t.Helper()
	ctx, js := s.t.Context(), s.JetStream(who)
	ch, err := deadletter.NewChannel(ctx, js, "orders", cfg)
	require.NoError(s.t, err)
	c, err := js.Consumer(ctx, "ORDERS", cons)
	require.NoError(s.t, err)
	guarded, err := ch.Guard(ctx, c, handle)
	require.NoError(s.t, err)
	run, err := c.Consume(guarded)
	require.NoError(s.t, err)
	return func() {
		run.Stop()
		<-run.Closed()
	}
}

// letters describes the letters in the channel.
func (s *scene) letters() []string {
	s.t.Helper()
	got := []string{}
	for l, err := range s.ch.All(s.t.Context()) {
		require.NoError(s.t, err)
		got = append(got, fmt.Sprintf("%s %d of %s: %s after %d: %s", l.Stream, l.Sequence, l.Consumer, l.Reason, l.Deliveries, l.Error))
	}
	return got
}

func (s *scene) first() deadletter.Letter {
	s.t.Helper()
	for l, err := range s.ch.All(s.t.Context()) {
		require.NoError(s.t, err)
		return l
	}
	require.Fail(s.t, "no letters")
	return deadletter.Letter{}
}

// requeueAll requeues every letter with another body.
func (s *scene) requeueAll(body string) {
	s.t.Helper()
	for l, err := range s.ch.All(s.t.Context()) {
		require.NoError(s.t, err)
		require.NoError(s.t, s.ch.Requeue(s.t.Context(), l.ID, fixed(body)))
	}
}

func fixed(body string) func(*nats.Msg) error {
	return func(msg *nats.Msg) error { msg.Data = []byte(body); return nil }
}
