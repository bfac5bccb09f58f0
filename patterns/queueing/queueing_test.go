package queueing_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
)

func TestMain(m *testing.M) { natstest.Main(m) }

type runner interface {
	Run(context.Context, queueing.Handler) error
}

// form is one of the two ways to queue, for what both promise.
type form struct {
	name string
	send func(ctx context.Context, nc *nats.Conn, queue, id string, msg *nats.Msg) error
	join func(ctx context.Context, nc *nats.Conn, queue string, cfg queueing.Config) (runner, error)
}

var forms = []form{
	{"queue group", queueing.Offer, func(ctx context.Context, nc *nats.Conn, queue string, cfg queueing.Config) (runner, error) {
		return queueing.NewMember(ctx, nc, queue, cfg)
	}},
	{"work queue", send, func(ctx context.Context, nc *nats.Conn, queue string, cfg queueing.Config) (runner, error) {
		js, err := jet(nc)
		if err != nil {
			return nil, err
		}
		return queueing.NewWorker(ctx, js, queue, cfg)
	}},
}

// bench is what a case of the suite works with.
type bench struct {
	form
	connect func(name string) *nats.Conn
	cfg     queueing.Config
	queue   string
}

// suite holds for both forms, in a bubble as on any server: no case depends on an
// exact instant, and none takes longer than a second or two of real time.
var suite = []struct {
	name string
	run  func(t *testing.T, b bench)
}{
	{"each of sixty jobs goes to one of three workers", func(t *testing.T, b bench) {
		var l ledger
		stops := make([]func(), 3)
		for i := range stops {
			stops[i] = b.start(t, fmt.Sprint("worker-", i), b.cfg, func(ctx context.Context, msg queueing.Message) error {
				return l.did(msg, i)
			})
		}
		b.send60(t)
		l.wait(t, 60)
		for _, stop := range stops {
			stop()
		}
		for job, n := range l.count() {
			require.Equal(t, 1, n, job)
		}
	}},
	{"payload and headers arrive as they were sent", func(t *testing.T, b bench) {
		got := make(chan queueing.Message, 1)
		stop := b.start(t, "worker", b.cfg, func(_ context.Context, msg queueing.Message) error { got <- msg; return nil })
		defer stop()
		sent := &nats.Msg{Subject: "ignored", Header: nats.Header{"Trace": {"a", "b"}}, Data: []byte{0, 255, '\r', '\n'}}
		require.NoError(t, b.send(t.Context(), b.connect("client"), b.queue, "job-1", sent))
		msg := <-got
		require.Equal(t, sent.Data, msg.Data)
		require.Equal(t, []string{"a", "b"}, msg.Header["Trace"])
		require.Equal(t, "job-1", msg.ID)
		require.Equal(t, 1, msg.Delivery)
		require.Equal(t, "ignored", sent.Subject, "the caller's message is left alone")
		require.Len(t, sent.Header, 1, "the caller's message is left alone")
	}},
	{"exactly Concurrency jobs are handled at once", func(t *testing.T, b bench) {
		var l ledger
		var now, most atomic.Int32
		cfg := b.cfg
		cfg.Concurrency = 4
		stop := b.start(t, "worker", cfg, func(_ context.Context, msg queueing.Message) error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(10 * time.Millisecond)
			now.Add(-1)
			return l.did(msg, 0)
		})
		defer stop()
		b.send60(t)
		l.wait(t, 60)
		require.EqualValues(t, 4, most.Load())
	}},
	{"a stop finishes the job in flight and receives no more", func(t *testing.T, b bench) {
		begun, ended := make(chan bool, 9), make(chan error, 9)
		b.cfg.Concurrency = 2
		stop := b.start(t, "worker", b.cfg, func(ctx context.Context, _ queueing.Message) error {
			begun <- true
			time.Sleep(100 * time.Millisecond)
			ended <- ctx.Err()
			return nil
		})
		nc := b.connect("client")
		require.NoError(t, b.send(t.Context(), nc, b.queue, "job-1", &nats.Msg{}))
		<-begun
		stop()
		require.Len(t, ended, 1)
		require.NoError(t, <-ended, "its context has not ended")
		require.NoError(t, b.send(t.Context(), nc, b.queue, "job-2", &nats.Msg{}))
		time.Sleep(100 * time.Millisecond)
		require.Empty(t, begun)
	}},
	{"neither an error nor a panic stops the worker", func(t *testing.T, b bench) {
		var l ledger
		stop := b.start(t, "worker", b.cfg, func(_ context.Context, msg queueing.Message) error {
			l.did(msg, 0)
			switch msg.Header.Get("Do") {
			case "err":
				return errors.New("no")
			case "panic":
				panic("oh no")
			}
			return nil
		})
		defer stop()
		nc := b.connect("client")
		for i, do := range []string{"err", "panic", "work"} {
			msg := &nats.Msg{Header: nats.Header{"Do": {do}}}
			require.NoError(t, b.send(t.Context(), nc, b.queue, fmt.Sprint("job-", i), msg))
		}
		l.wait(t, 3)
	}},
	{"Run returns at once if its context has ended", func(t *testing.T, b bench) {
		w, err := b.join(t.Context(), b.connect("worker"), b.queue, b.cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		never := func(context.Context, queueing.Message) error { return nil }
		require.ErrorIs(t, w.Run(ctx, nil), queueing.ErrConfig)
		require.NoError(t, w.Run(ctx, never))
		require.ErrorIs(t, w.Run(ctx, never), queueing.ErrAlreadyRun)
	}},
}

// On a fake clock the suite takes no time.
func TestBothForms(t *testing.T) {
	for _, f := range forms {
		for _, tc := range suite {
			t.Run(f.name+"/"+tc.name, func(t *testing.T) {
				natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
					tc.run(t, bench{form: f, queue: "suite", connect: func(name string) *nats.Conn { return s.Connect(name) }})
				})
			})
		}
	}
}

// conform runs the suite on the server that connect reaches, with a queue for each case.
func conform(t *testing.T, connect func(t *testing.T, name string) *nats.Conn, cfg queueing.Config) {
	for i, f := range forms {
		for j, tc := range suite {
			t.Run(f.name+"/"+tc.name, func(t *testing.T) {
				tc.run(t, bench{form: f, queue: fmt.Sprintf("suite-%d-%d", i, j), cfg: cfg,
					connect: func(name string) *nats.Conn { return connect(t, name) }})
			})
		}
	}
}

// On a real clock and over TCP, it holds as well.
func TestRealServer(t *testing.T) {
	t.Parallel()
	s := natstest.Listen(t)
	conform(t, func(t *testing.T, name string) *nats.Conn {
		nc, err := nats.Connect(s.Server.Server().ClientURL(), nats.Name(name))
		require.NoError(t, err)
		t.Cleanup(nc.Close)
		return nc
	}, queueing.Config{})
}

// start runs a worker until the function it returns is called, which waits for it.
func (b bench) start(t *testing.T, name string, cfg queueing.Config, h queueing.Handler) (stop func()) {
	t.Helper()
	w, err := b.join(t.Context(), b.connect(name), b.queue, cfg)
	require.NoError(t, err)
	return run(t, w, h)
}

func run(t *testing.T, w runner, h queueing.Handler) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, w.Run(ctx, h)) })
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return stop
}

func (b bench) send60(t *testing.T) {
	t.Helper()
	nc := b.connect("client")
	for i := range 60 {
		require.NoError(t, b.send(t.Context(), nc, b.queue, fmt.Sprint("job-", i), &nats.Msg{}))
	}
}
