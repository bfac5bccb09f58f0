package queueing_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
)

var badIDs = []string{"", "*", ">", "a.b", "a b", "a\x00", "ä", string(make([]byte, 5000)), "a\r\nPUB x 0"}

func TestBadInput(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	nc, ctx := s.Connect("client"), t.Context()
	js := natstest.JetStream(t, nc)
	require.NoError(t, queueing.Provision(ctx, js, "mail", queueing.Config{}))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	none := &nats.Msg{}
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			for _, id := range badIDs {
				require.ErrorIs(t, f.send(ctx, nc, "mail", id, none), queueing.ErrID)
				require.ErrorIs(t, f.send(ctx, nc, id, "job-1", none), queueing.ErrID)
				_, err := f.join(ctx, nc, id, queueing.Config{})
				require.ErrorIs(t, err, queueing.ErrID)
			}
			require.ErrorIs(t, f.send(ctx, nc, "mail", "job-1", nil), nats.ErrInvalidMsg)
			big := &nats.Msg{Data: make([]byte, nc.MaxPayload()+1)}
			err := f.send(ctx, nc, "mail", "job-1", big)
			require.ErrorIs(t, err, nats.ErrMaxPayload)
			require.ErrorContains(t, err, "send a reference")
			require.ErrorIs(t, f.send(ended, nc, "mail", "job-1", none), context.Canceled)
			_, err = f.join(ended, nc, "mail", queueing.Config{})
			require.ErrorIs(t, err, context.Canceled)
			require.NoError(t, nc.Flush(), "the connection outlived all that")

			gone := s.Connect("gone")
			w, err := f.join(ctx, gone, "mail", queueing.Config{})
			require.NoError(t, err)
			gone.Close()
			closed := func(err error) {
				t.Helper()
				require.ErrorContains(t, err, "queueing: ")
				require.ErrorContains(t, err, "connection closed")
			}
			closed(w.Run(ctx, func(context.Context, *nats.Msg) error { return nil }))
			closed(f.send(ctx, gone, "mail", "job-1", none))
			_, err = f.join(ctx, gone, "mail", queueing.Config{})
			closed(err)
		})
	}
	_, err := queueing.Check(ctx, js, "mail", "a.b")
	require.ErrorIs(t, err, queueing.ErrID)
	_, err = queueing.Send(ctx, js, "nowhere", "job-1", none)
	require.ErrorContains(t, err, "call Provision, or NewWorker first")
	_, err = queueing.Check(ctx, js, "nowhere", "job-1")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}

func TestConfig(t *testing.T) {
	s := natstest.Start(t)
	for field, cfg := range map[string]queueing.Config{
		"InHand": {InHand: -1}, "Ahead": {Ahead: -1}, "InFlight": {InFlight: -1}, "Tries": {Tries: -1}, "Priority": {Priority: 10},
		"Replicas": {Replicas: -1}, "AckWait": {AckWait: time.Nanosecond}, "Backoff": {Backoff: -1}, "Grace": {Grace: -1}, "Keep": {Keep: 1},
	} {
		_, err := queueing.NewWorker(t.Context(), s.JetStream("a"), "mail", cfg)
		require.ErrorIs(t, err, queueing.ErrConfig)
		require.ErrorContains(t, err, field)
		require.ErrorIs(t, queueing.Provision(t.Context(), s.JetStream("a"), "mail", cfg), queueing.ErrConfig)
	}
	_, err := queueing.NewMember(t.Context(), s.Connect("a"), "mail", queueing.Config{Priority: 1})
	require.ErrorIs(t, err, queueing.ErrConfig)
}

// What exists is used as it is, or not at all; only Provision changes it.
func TestStreams(t *testing.T) {
	s := natstest.Start(t)
	js, ctx := s.JetStream("a"), t.Context()
	_, err := queueing.NewWorker(ctx, js, "mail", queueing.Config{Bind: true})
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)

	mine := queueing.Config{AckWait: time.Minute, Storage: jetstream.MemoryStorage, Metadata: map[string]string{"owner": "post"}}
	_, err = queueing.NewWorker(ctx, js, "mail", mine)
	require.NoError(t, err)
	_, err = queueing.NewWorker(ctx, js, "mail", queueing.Config{})
	require.ErrorIs(t, err, queueing.ErrMismatch)
	require.ErrorContains(t, err, "AckWait 1m0s, want 30s")
	_, err = queueing.NewWorker(ctx, js, "mail", queueing.Config{Bind: true, AckWait: time.Minute})
	require.NoError(t, err, "storage and metadata are nobody's business but the owner's")

	jobs, err := js.Stream(ctx, "JOBS_mail")
	require.NoError(t, err)
	require.Equal(t, "post", jobs.CachedInfo().Config.Metadata["owner"])
	require.Equal(t, jetstream.MemoryStorage, jobs.CachedInfo().Config.Storage)

	mine.AckWait = time.Hour
	require.NoError(t, queueing.Provision(ctx, js, "mail", mine))
	_, err = queueing.NewWorker(ctx, js, "mail", mine)
	require.NoError(t, err)

	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "JOBS_post", Subjects: []string{"jobs.post.*"}})
	require.NoError(t, err)
	_, err = queueing.NewWorker(ctx, js, "post", queueing.Config{})
	require.ErrorIs(t, err, queueing.ErrMismatch)
	require.ErrorContains(t, err, "Retention")
}

// A worker whose queue is deleted says so, told or not.
func TestDeleted(t *testing.T) {
	for _, tc := range []struct {
		name   string
		remove func(ctx context.Context, s *scene) error
	}{
		{"the consumer while it waits", func(ctx context.Context, s *scene) error {
			return s.js.DeleteConsumer(ctx, "JOBS_mail", "workers")
		}},
		{"the stream while it waits", func(ctx context.Context, s *scene) error { return s.js.DeleteStream(ctx, "JOBS_mail") }},
		{"the stream while it is away", func(ctx context.Context, s *scene) error {
			s.Link("a").Down()
			defer s.Link("a").Up()
			return s.js.DeleteStream(ctx, "JOBS_mail")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				sc := newScene(t, s)
				w, err := queueing.NewWorker(t.Context(), s.JetStream("a"), "mail", queueing.Config{})
				require.NoError(t, err)
				ended := make(chan error)
				go func() { ended <- w.Run(t.Context(), func(context.Context, *nats.Msg) error { return nil }) }()
				time.Sleep(time.Second)
				require.NoError(t, tc.remove(t.Context(), sc))
				err = <-ended
				require.ErrorContains(t, err, "queueing: queue mail: ")
				require.Less(t, time.Since(sc.start), time.Minute)
			})
		})
	}
}

// Sent again under its id, a job is stored once.
func TestSendTwice(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		sc.send(t, "job-1", "job-1")
		sc.work(t, "a", queueing.Config{}, 0, nil)
		time.Sleep(time.Minute)
		sc.send(t, "job-1") // done by now, and still not done again
		time.Sleep(2 * time.Minute)
		require.Equal(t, []string{"0s a has job-1"}, sc.noted())
	})
}
