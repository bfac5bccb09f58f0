package schedule_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schedule"
)

func TestMain(m *testing.M) { natstest.Main(m) }

func calendar(t testing.TB, s *natstest.Server, client string, cfg schedule.Config) *schedule.Calendar {
	t.Helper()
	c, err := schedule.New(t.Context(), s.JetStream(client), "shop", cfg)
	require.NoError(t, err)
	return c
}

func body(text string) *nats.Msg { return &nats.Msg{Data: []byte(text)} }

// midnight is the time at which each bubble starts.
var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// due returns the due messages of the stream: time after midnight, ID and data.
func due(t testing.TB, s *natstest.Server) (messages []string) {
	t.Helper()
	for _, m := range stored(t, s) {
		if strings.HasSuffix(m.Subject, ".due") {
			messages = append(messages, fmt.Sprint(m.Time.Sub(midnight), " ", strings.Split(m.Subject, ".")[2], " ", string(m.Data)))
		}
	}
	return messages
}

// stored returns all messages of the stream.
func stored(t testing.TB, s *natstest.Server) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	stream, err := s.JetStream("auditor").Stream(ctx, "SCHEDULE_shop")
	require.NoError(t, err)
	for seq := stream.CachedInfo().State.FirstSeq; seq <= stream.CachedInfo().State.LastSeq; seq++ {
		if m, err := stream.GetMsg(ctx, seq); err == nil {
			all = append(all, m)
		}
	}
	return all
}

// until returns a message with a deadline.
func until(deadline time.Time, text string) *nats.Msg {
	m := &nats.Msg{Subject: "coupons", Data: []byte(text)}
	schedule.SetDeadline(m, deadline)
	return m
}

// refusals collects the messages that a Filter refuses.
type refusals []string

func (r *refusals) add(subject string, _ nats.Header, err error) {
	*r = append(*r, subject+": "+err.Error())
}
