package queueing_test

import (
	"context"
	"fmt"
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
			closed(w.Run(ctx, func(context.Context, queueing.Message) error { return nil }))
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
		"Concurrency": {Concurrency: -1}, "Prefetch": {Prefetch: -1}, "MaxAckPending": {MaxAckPending: -1}, "MaxDeliver": {MaxDeliver: -1},
		"Priority": {Priority: 10},
		"Replicas": {Replicas: -1}, "AckWait": {AckWait: time.Nanosecond}, "Backoff": {Backoff: -1}, "Grace": {Grace: -1}, "MaxAge": {MaxAge: 1},
		"MaxBytes": {MaxBytes: -1},
	} {
		_, err := queueing.NewWorker(t.Context(), s.JetStream("a"), "mail", cfg)
		require.ErrorIs(t, err, queueing.ErrConfig)
		require.ErrorContains(t, err, field)
		require.ErrorIs(t, queueing.Provision(t.Context(), s.JetStream("a"), "mail", cfg), queueing.ErrConfig)
	}
	_, err := queueing.NewMember(t.Context(), s.Connect("a"), "mail", queueing.Config{Priority: 1})
	require.ErrorIs(t, err, queueing.ErrConfig)
}

// NewWorker creates what is missing, unless Bind is set.
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
	require.ErrorContains(t, err, "Storage Memory, want File")
	_, err = queueing.NewWorker(ctx, js, "mail", queueing.Config{Bind: true, Storage: jetstream.MemoryStorage})
	require.NoError(t, err, "a longer AckWait and other metadata are accepted")

	jobs, err := js.Stream(ctx, "JOBS_mail")
	require.NoError(t, err)
	require.Equal(t, "post", jobs.CachedInfo().Config.Metadata["owner"])
	require.Equal(t, jetstream.MemoryStorage, jobs.CachedInfo().Config.Storage)

	mine.AckWait = time.Hour
	require.NoError(t, queueing.Provision(ctx, js, "mail", mine))
	_, err = queueing.NewWorker(ctx, js, "mail", mine)
	require.NoError(t, err)
	cons, err := js.Consumer(ctx, "JOBS_mail", "workers")
	require.NoError(t, err)
	require.Equal(t, time.Hour, cons.CachedInfo().Config.AckWait)

	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "JOBS_post", Subjects: []string{"jobs.post.*"}})
	require.NoError(t, err)
	_, err = queueing.NewWorker(ctx, js, "post", queueing.Config{})
	require.ErrorIs(t, err, queueing.ErrMismatch)
	require.ErrorContains(t, err, "Retention")
}

// NewWorker refuses weaker settings and accepts stronger ones. Provision changes what
// NewWorker refuses, and nothing else.
func TestExisting(t *testing.T) {
	s := natstest.Start(t)
	js, ctx := s.JetStream("a"), t.Context()
	for i, tc := range []struct {
		name   string
		change func(jobs, failed *jetstream.StreamConfig, workers *jetstream.ConsumerConfig)
		field  string // that NewWorker refuses
	}{
		{"a shorter AckWait", func(_, _ *jetstream.StreamConfig, w *jetstream.ConsumerConfig) { w.AckWait = time.Second }, "AckWait"},
		{"a longer AckWait", func(_, _ *jetstream.StreamConfig, w *jetstream.ConsumerConfig) { w.AckWait = time.Hour }, ""},
		{"a MaxDeliver of the consumer", func(_, _ *jetstream.StreamConfig, w *jetstream.ConsumerConfig) { w.MaxDeliver = 3 }, "MaxDeliver"},
		{"a lower MaxAckPending", func(_, _ *jetstream.StreamConfig, w *jetstream.ConsumerConfig) { w.MaxAckPending = 9 }, "MaxAckPending"},
		{"a higher MaxAckPending", func(_, _ *jetstream.StreamConfig, w *jetstream.ConsumerConfig) { w.MaxAckPending = 9999 }, "MaxAckPending"},
		{"a shorter duplicate window", func(j, _ *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { j.Duplicates = time.Second }, "Duplicates"},
		{"a longer duplicate window", func(j, _ *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { j.Duplicates = time.Hour }, ""},
		{"a MaxAge of jobs", func(j, _ *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { j.MaxAge = time.Hour }, "MaxAge"},
		{"discard old", func(j, _ *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
			j.MaxMsgs, j.Discard = 5, jetstream.DiscardOld
		}, "Discard"},
		{"a limit with discard new", func(j, _ *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { j.MaxMsgs, j.MaxBytes = 5, 1<<20 }, ""},
		{"direct get", func(j, _ *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { j.AllowDirect = true }, "AllowDirect"},
		{"direct get of failed jobs", func(_, f *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { f.AllowDirect = true }, "AllowDirect"},
		{"a shorter MaxAge of failed jobs", func(_, f *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { f.MaxAge = time.Hour }, "MaxAge"},
		{"a longer MaxAge of failed jobs", func(_, f *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { f.MaxAge = 0 }, ""},
		{"compression and a description", func(j, _ *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
			j.Compression, j.Description = jetstream.S2Compression, "mail"
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			queue := fmt.Sprint("mail-", i)
			jobs, err := queueing.JobsStreamConfig(queue, queueing.Config{})
			require.NoError(t, err)
			failed, err := queueing.FailedStreamConfig(queue, queueing.Config{})
			require.NoError(t, err)
			workers, err := queueing.ConsumerConfig(queue, queueing.Config{})
			require.NoError(t, err)
			tc.change(&jobs, &failed, &workers)
			j, err := js.CreateStream(ctx, jobs)
			require.NoError(t, err)
			f, err := js.CreateStream(ctx, failed)
			require.NoError(t, err)
			w, err := j.CreateConsumer(ctx, workers)
			require.NoError(t, err)
			settings := func() []any {
				for _, info := range []func() error{
					func() error { _, err := j.Info(ctx); return err },
					func() error { _, err := f.Info(ctx); return err },
					func() error { _, err := w.Info(ctx); return err },
				} {
					require.NoError(t, info())
				}
				return []any{j.CachedInfo().Config, f.CachedInfo().Config, w.CachedInfo().Config}
			}
			before := settings()
			_, err = queueing.NewWorker(ctx, js, queue, queueing.Config{})
			if tc.field == "" {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, queueing.ErrMismatch)
				require.ErrorContains(t, err, tc.field)
			}
			require.Equal(t, before, settings(), "NewWorker changes nothing")
			require.NoError(t, queueing.Provision(ctx, js, queue, queueing.Config{}))
			if tc.field == "" {
				require.Equal(t, before, settings(), "Provision lowers nothing")
			}
			_, err = queueing.NewWorker(ctx, js, queue, queueing.Config{})
			require.NoError(t, err)
		})
	}
}
