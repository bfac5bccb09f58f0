package queueing_test

import (
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

// A failed job is kept as it was sent, less the orders to the server, and whoever
// wants to know at once subscribes.
func TestFailed(t *testing.T) {
	for _, tc := range []struct {
		name  string
		size  int
		trunc string
	}{
		{"a failed job is kept with its payload and headers", 10, ""},
		{"one that leaves no room for the reason is kept without them", 1<<20 - 100, "true"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				sc := newScene(t, s)
				heard, err := sc.js.Conn().SubscribeSync("failed.mail.*")
				require.NoError(t, err)
				sc.work(t, "a", queueing.Config{}, 0, fmt.Errorf("%w: %s", queueing.ErrPoison, strings.Repeat("long\r\nX: y", 200)))
				msg := &nats.Msg{Header: nats.Header{"K": {"v"}, "Nats-TTL": nil}, Data: make([]byte, tc.size)}
				_, err = queueing.Send(t.Context(), sc.js, "mail", "job-1", msg)
				require.NoError(t, err)
				time.Sleep(time.Second)
				got, err := heard.NextMsg(time.Second)
				require.NoError(t, err)
				require.Equal(t, "failed.mail.job-1", got.Subject)
				require.Equal(t, tc.trunc, got.Header.Get(queueing.HeaderTruncated))
				require.Empty(t, got.Header.Get("Nats-Msg-Id"))
				require.Empty(t, got.Header.Get("X"), "a reason cannot add a header")
				if tc.trunc == "" {
					require.Equal(t, msg.Data, got.Data)
					require.Equal(t, "v", got.Header.Get("K"))
				}
				require.Equal(t, queueing.Failed, sc.outcome(t, "job-1").State)
			})
		})
	}
}

// While a failure cannot be stored the job stays, and fails when it can.
func TestFailureNotLost(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		sc.work(t, "a", queueing.Config{Tries: 1}, 0, errors.New("no"))
		_, failed, _, err := queueing.Streams("mail", queueing.Config{})
		require.NoError(t, err)
		require.NoError(t, sc.js.DeleteStream(t.Context(), failed.Name))
		sc.send(t, "job-1")
		time.Sleep(20 * time.Second)
		require.Equal(t, queueing.Waiting, sc.outcome(t, "job-1").State)
		_, err = sc.js.CreateStream(t.Context(), failed)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Equal(t, queueing.Failed, sc.outcome(t, "job-1").State)
		require.Equal(t, []string{"0s a has job-1"}, sc.noted(), "its one try was the first")
	})
}
