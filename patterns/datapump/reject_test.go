package datapump_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/datapump"
	"github.com/natspatterns/catalog/patterns/datapump/storetest"
)

// A subject can have a token that is longer than the name of a table, and that does not
// fit into the copy of its row.
func TestRejectLongTable(t *testing.T) {
	bubble(t, func(t *testing.T, s *suite) {
		s.store, s.read = stores["a map"](t)
		p := s.pump(t, datapump.Config{})
		runs(t, p)
		table := strings.Repeat("t", 3000)
		last := publish(t, s.js, table, `"`+strings.Repeat("4", int(s.js.Conn().MaxPayload())-2500)+`"`)
		time.Sleep(time.Second) // lint:bubble: in bubble
		require.Equal(t, datapump.State{Position: last, Rejected: 1}, p.State())
		require.Equal(t, table[:64], firstRejected(t, s.js).Header.Get(datapump.HeaderTable))
	})
}

// inProcess refuses the first message as a cluster does while another copy of it is in
// process, which can still fail.
type inProcess struct {
	jetstream.JetStream
	refused bool
}

func (js *inProcess) PublishMsg(ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if !js.refused {
		js.refused = true
		return nil, &jetstream.APIError{Code: 400, ErrorCode: jetstream.JSErrCodeStreamWrongLastSequenceConstant}
	}
	return js.JetStream.PublishMsg(ctx, msg, opts...)
}

// A row is not taken for rejected while its copy is in process.
func TestRejectInProcess(t *testing.T) {
	bubble(t, func(t *testing.T, s *suite) {
		s.store, s.read = stores["a map"](t)
		p, err := datapump.NewPump(t.Context(), &inProcess{JetStream: s.js}, "shops", "main", s.store, storetest.Tables, datapump.Config{})
		require.NoError(t, err)
		runs(t, p)
		last := publish(t, s.js, "sales", `{"n":"one"}`)
		time.Sleep(time.Second) // lint:bubble: in bubble
		require.Equal(t, datapump.State{Position: last, Rejected: 1}, p.State())
		require.Len(t, rejected(t, s.js, "main"), 1)
	})
}
