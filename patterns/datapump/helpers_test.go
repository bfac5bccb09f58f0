package datapump_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

// runner is a Pump or a Reader.
type runner interface{ Run(context.Context) error }

// runs runs it and returns a function that stops it and waits.
func runs(t *testing.T, r runner) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return stop
}

// reaches waits until a pump has applied a sequence.
func reaches(t *testing.T, p *datapump.Pump, seq uint64) {
	t.Helper()
	natstest.Eventually(t, 20*time.Second, func(context.Context) error {
		if s := p.State(); s.Applied < seq {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

func all[T any](ctx context.Context, nc *nats.Conn, statement string, args any) (rows []T, err error) {
	for row, err := range datapump.Query[T](ctx, nc, "shops", statement, args) {
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func publish(t *testing.T, js jetstream.JetStream, table string, rows ...string) uint64 {
	var last uint64
	for _, r := range rows {
		ack, err := js.Publish(t.Context(), "shops.row."+table, []byte(r))
		require.NoError(t, err)
		last = ack.Sequence
	}
	return last
}

// diverted returns the reasons by sequence.
func diverted(t *testing.T, js jetstream.JetStream, pump string) map[string]string {
	s, err := js.Stream(t.Context(), "SHOPS_DIVERTED")
	require.NoError(t, err)
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter("shops.diverted."+pump+".*"))
	require.NoError(t, err)
	reasons := map[string]string{}
	for subject, n := range info.State.Subjects {
		require.EqualValues(t, 1, n)
		m, err := s.GetLastMsgForSubject(t.Context(), subject)
		require.NoError(t, err)
		reasons[m.Header.Get(datapump.SequenceHeader)] = m.Header.Get(datapump.ReasonHeader)
	}
	return reasons
}

func fill(tb testing.TB, js jetstream.JetStream, n int) {
	for i := range n {
		data, err := json.Marshal(sale{i, "till-1"})
		require.NoError(tb, err)
		_, err = js.PublishAsync("shops.row.sales", data)
		require.NoError(tb, err)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(30 * time.Second):
		tb.Fatal("the stream is slow")
	}
}
