package queueing_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
)

// A failed job is stored as it was sent, without the server's headers, and is published
// to subscribers of failed.<queue>.*.
func TestFailed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		size   int
		header int
		trunc  string
	}{
		{"a failed job is stored with its payload and headers", 10, 1, ""},
		{"a job that exceeds max_payload with the reason is stored without them", 1<<20 - 100, 1, "true"},
		{"a job whose headers exceed 64 KiB with the reason is stored without them", 10, 1<<16 - 200, "true"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				sc := newScene(t, s)
				failures, err := sc.js.Conn().SubscribeSync("failed.mail.*")
				require.NoError(t, err)
				w, err := queueing.NewWorker(t.Context(), s.JetStream("a"), "mail", queueing.Config{})
				require.NoError(t, err)
				run(t, w, func(_ context.Context, job queueing.Message) error {
					clear(job.Data)
					job.Header.Set("K", "changed")
					job.Header.Set("Other", "changed")
					return fmt.Errorf("%w: %s", queueing.ErrPoison, strings.Repeat("long\r\nX: y", 200))
				})
				msg := &nats.Msg{Header: nats.Header{"K": {strings.Repeat("v", tc.header)}, "Nats-TTL": nil, "Queue-Reason": {"old"}},
					Data: bytes.Repeat([]byte("x"), tc.size)}
				_, err = queueing.Send(t.Context(), sc.js, "mail", "job-1", msg)
				require.NoError(t, err)
				time.Sleep(time.Second)
				published, err := failures.NextMsg(time.Second)
				require.NoError(t, err)
				require.Equal(t, "failed.mail.job-1", published.Subject)
				stream, err := sc.js.Stream(t.Context(), "FAILED_mail")
				require.NoError(t, err)
				got, err := stream.GetLastMsgForSubject(t.Context(), "failed.mail.job-1")
				require.NoError(t, err)
				require.Equal(t, tc.trunc, got.Header.Get(queueing.HeaderTruncated))
				require.Empty(t, got.Header.Get("Nats-Msg-Id"))
				require.Empty(t, got.Header.Get("X"), "a reason cannot add a header")
				require.Empty(t, got.Header.Get("Other"), "the handler cannot add a header")
				require.Len(t, got.Header.Values(queueing.HeaderReason), 1)
				require.Contains(t, got.Header.Get(queueing.HeaderReason), "queueing: poison message: long X: y")
				if tc.trunc == "" {
					require.Equal(t, msg.Data, got.Data, "as it was sent, not as the handler changed it")
					require.Equal(t, "v", got.Header.Get("K"))
				} else {
					require.Empty(t, got.Data)
					require.Empty(t, got.Header.Get("K"))
				}
				require.Equal(t, queueing.Failed, sc.outcome(t, "job-1").State)
			})
		})
	}
}

// A full stream of failed jobs loses none: the job stays in the queue until it can be
// stored.
func TestFailedFull(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, cfg := s.JetStream("client"), queueing.Config{MaxDeliver: 1, MaxBytes: 1000}
		require.NoError(t, queueing.Provision(t.Context(), js, "mail", cfg))
		sc := &scene{s, js, time.Now(), make(chan string, 100)}
		sc.work(t, "a", cfg, 0, errors.New("no"))
		for i := range 7 {
			_, err := queueing.Send(t.Context(), js, "mail", fmt.Sprint("job-", i), &nats.Msg{Data: make([]byte, 100)})
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		failed, err := js.Stream(t.Context(), "FAILED_mail")
		require.NoError(t, err)
		jobs, err := js.Stream(t.Context(), "JOBS_mail")
		require.NoError(t, err)
		require.Positive(t, jobs.CachedInfo().State.Msgs)
		require.EqualValues(t, 7, jobs.CachedInfo().State.Msgs+failed.CachedInfo().State.Msgs)
		require.NoError(t, failed.Purge(t.Context()))
		time.Sleep(time.Minute)
		require.Equal(t, queueing.Failed, sc.outcome(t, "job-6").State)
	})
}

// While a failed job cannot be stored, it stays in the queue; later it fails.
func TestFailureNotLost(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		sc.work(t, "a", queueing.Config{MaxDeliver: 1}, 0, errors.New("no"))
		failed, err := queueing.FailedStreamConfig("mail", queueing.Config{})
		require.NoError(t, err)
		require.NoError(t, sc.js.DeleteStream(t.Context(), failed.Name))
		sc.send(t, "job-1")
		time.Sleep(20 * time.Second)
		require.Equal(t, queueing.Waiting, sc.outcome(t, "job-1").State)
		_, err = sc.js.CreateStream(t.Context(), failed)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Equal(t, queueing.Failed, sc.outcome(t, "job-1").State)
		require.Equal(t, []string{"0s a has job-1"}, sc.noted(), "the handler is called once")
	})
}

// A job of a stream that was deleted is not mistaken for the one that has its sequence in
// the new stream.
func TestFailedRecreated(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		stop := sc.work(t, "a", queueing.Config{MaxDeliver: 1}, time.Second, errors.New("no"))
		sc.send(t, "job-1")
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, sc.js.DeleteStream(t.Context(), "JOBS_mail"))
		require.NoError(t, queueing.Provision(t.Context(), sc.js, "mail", queueing.Config{}))
		sc.send(t, "job-2")
		time.Sleep(time.Second)
		stop()
		_, err := sc.js.Stream(t.Context(), "FAILED_mail")
		require.NoError(t, err)
		require.Equal(t, queueing.Done, sc.outcome(t, "job-1").State, "neither stream has it")
	})
}
