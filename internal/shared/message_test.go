package shared

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

func TestCallHandler(t *testing.T) {
	var out bytes.Buffer
	log, bad := slog.New(slog.NewTextHandler(&out, nil)), errors.New("bad")
	require.ErrorIs(t, callHandler(t.Context(), log, "jobs.1", func(context.Context, int) error { return bad }, 1), bad)
	require.Empty(t, out.String())
	err := callHandler(t.Context(), log, "jobs.1", func(context.Context, int) error { panic("oh") }, 1)
	require.EqualError(t, err, "panic: oh")
	require.Contains(t, out.String(), "shared: the handler panicked")
	require.Contains(t, out.String(), "message_test.go", "with its stack")
}

func TestRedeliveryDelay(t *testing.T) {
	for _, tc := range []struct {
		first    time.Duration
		delivery int
		want     time.Duration
	}{
		{time.Second, 1, time.Second}, {time.Second, 2, 2 * time.Second}, {time.Second, 6, 32 * time.Second},
		{time.Second, 7, time.Minute}, {time.Second, 100_000, time.Minute}, {25 * time.Second, 3, time.Minute},
		{time.Hour, 1, time.Hour}, {time.Hour, 9, time.Hour}, {3 * time.Millisecond, 12, 6144 * time.Millisecond},
	} {
		require.Equal(t, tc.want, redeliveryDelay(tc.first, tc.delivery), "%v, delivery %d", tc.first, tc.delivery)
	}
}

// The functions of before run grace after the end of ctx, before the end of work.
func TestWithGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var at time.Duration
		start := time.Now()
		var work context.Context
		work, stop := withGrace(ctx, time.Minute, func() {
			at = time.Since(start)
			require.NoError(t, work.Err())
		})
		defer stop()
		cancel()
		<-work.Done()
		require.Equal(t, time.Minute, at)

		work, stop = withGrace(t.Context(), time.Minute, func() { t.Error("called without the end of ctx") })
		stop()
		<-work.Done()
	})
}

// A message that takes longer than AckWait is not redelivered while it is in progress.
func TestKeepInProgress(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("app"), t.Context()
		stream, err := js.CreateStream(ctx, jobs())
		require.NoError(t, err)
		cons, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "workers", AckWait: time.Second})
		require.NoError(t, err)
		_, err = js.Publish(ctx, "jobs.7", []byte("do"))
		require.NoError(t, err)
		msg, err := cons.Next()
		require.NoError(t, err)
		m, err := newMessage(msg)
		require.NoError(t, err)
		require.Equal(t, Message{ID: "7", Subject: "jobs.7", Data: []byte("do"), Delivery: 1, Sequence: 1, Time: m.Time}, m)
		require.Equal(t, time.Now(), m.Time.Local())
		stop := keepInProgress(time.Second, slog.New(slog.DiscardHandler), func() []jetstream.Msg { return []jetstream.Msg{msg} })
		time.Sleep(10 * time.Second)
		_, err = cons.Fetch(1, jetstream.FetchMaxWait(time.Second/2))
		require.NoError(t, err)
		stop()
		info, err := cons.Info(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, info.Delivered.Consumer)
		again, err := cons.Next(jetstream.FetchMaxWait(2 * time.Second))
		require.NoError(t, err)
		m, err = newMessage(again)
		require.NoError(t, err)
		require.Equal(t, 2, m.Delivery, "after stop it is redelivered")
	})
}

type acked struct{ jetstream.Msg }

func (acked) Subject() string { return "jobs.1" }

func TestWarnIf(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	warnIf(log, "ack", acked{}, nil)
	warnIf(log, "ack", acked{}, jetstream.ErrMsgAlreadyAckd)
	require.Empty(t, out.String())
	warnIf(log, "ack", acked{}, nats.ErrDisconnected)
	require.Contains(t, out.String(), "could not ack")
	require.Contains(t, out.String(), "jobs.1")
}

func TestCopyHeader(t *testing.T) {
	h := nats.Header{"Order": {"1", "2"}, "Nats-Msg-Id": {"x"}, "nats-ttl": {"1s"}, "Queue-Reason": {"old"}, "queue-reason": {"old"},
		"Order Id": {"3"}, "thing/with/slash": {"4"}, "ünï": {"5"}, "": {"6"}}
	c := copyHeader(h, "Queue-")
	require.Equal(t, nats.Header{"Order": {"1", "2"}, "Order_Id": {"3"}, "thing_with_slash": {"4"}, "_n_": {"5"}}, c)
	c.Add("Order", "3")
	require.Len(t, h["Order"], 2, "the copy shares nothing")
	require.Contains(t, copyHeader(h, ""), "Queue-Reason")
	require.NotNil(t, copyHeader(nil, ""), "so that the caller can set names")
}

// Whatever names a message has, its copy can be published.
func FuzzCopyHeader(f *testing.F) {
	f.Add("Order Id")
	f.Add("a:b\r\nc")
	f.Fuzz(func(t *testing.T, name string) {
		m := nats.NewMsg("a")
		m.Header = copyHeader(nats.Header{name: {"v"}}, "")
		require.NotZero(t, m.Size())
		for name := range m.Header {
			require.False(t, strings.ContainsAny(name, " \r\n:"), "%q", name)
		}
	})
}

func TestErrorText(t *testing.T) {
	require.Equal(t, "no such order 7", errorText(errors.New("no such\r\norder\t7")))
	long := errorText(errors.New(strings.Repeat("é", 1000)))
	require.Equal(t, 1000, len(long))
	require.True(t, utf8.ValidString(errorText(errors.New("x"+strings.Repeat("é", 1000)))))
}
