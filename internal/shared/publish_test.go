package shared

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

func TestPublishBatch(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("app"), t.Context()
		config := jobs()
		config.AllowAtomicPublish = true
		stream, err := js.CreateStream(ctx, config)
		require.NoError(t, err)
		msgs := func(n int) (msgs []*nats.Msg) {
			for i := range n {
				m := nats.NewMsg(fmt.Sprint("jobs.", i))
				m.Data = []byte("do")
				msgs = append(msgs, m)
			}
			return msgs
		}
		for n, want := range map[int]uint64{1: 1, 2: 2, maxBatch: maxBatch} {
			require.NoError(t, stream.Purge(ctx))
			info, err := stream.Info(ctx)
			require.NoError(t, err)
			seq, err := publishBatch(ctx, js.Conn(), msgs(n), true)
			require.NoError(t, err)
			require.Equal(t, info.State.LastSeq+want, seq)
		}
		info, err := stream.Info(ctx)
		require.NoError(t, err)
		last := info.State.LastSeq

		conflicting := msgs(3)
		conflicting[0].Header.Set(jetstream.ExpectedLastSubjSeqHeader, "99")
		_, err = publishBatch(ctx, js.Conn(), conflicting, true)
		require.True(t, isConflict(err), "%v", err)
		_, err = publishBatch(ctx, js.Conn(), msgs(maxBatch+1), true)
		require.Error(t, err)
		foreign := msgs(3)
		foreign[2].Subject = "elsewhere"
		_, err = publishBatch(ctx, js.Conn(), foreign, true)
		require.ErrorIs(t, err, nats.ErrNoResponders)
		foreign = msgs(3)
		foreign[1].Subject = "bad subject"
		_, err = publishBatch(ctx, js.Conn(), foreign, true)
		require.ErrorIs(t, err, nats.ErrBadSubject)
		large := msgs(3)
		large[2].Data = make([]byte, js.Conn().MaxPayload()-90) // it fits without Nats-Batch-Commit
		tap, err := s.Connect("tap").SubscribeSync("jobs.0")
		require.NoError(t, err)
		_, err = publishBatch(ctx, js.Conn(), large, true)
		require.ErrorIs(t, err, nats.ErrMaxPayload)
		require.ErrorContains(t, err, "jobs.2: message 3 has ")
		_, err = tap.NextMsg(time.Second)
		require.ErrorIs(t, err, nats.ErrTimeout, "the first message is not published, either")
		info, err = stream.Info(ctx)
		require.NoError(t, err)
		require.Equal(t, last, info.State.LastSeq, "nothing of these is stored")

		exact := msgs(1)
		exact[0].Header.Set("A", "b")
		exact[0].Data = make([]byte, int(js.Conn().MaxPayload())-(exact[0].Size()-len(exact[0].Subject))+len("do"))
		_, err = publishBatch(ctx, js.Conn(), exact, true)
		require.NoError(t, err)

		sub, err := js.Conn().Subscribe("elsewhere", func(m *nats.Msg) { _ = m.Respond([]byte(`{}`)) })
		require.NoError(t, err)
		_, err = publishBatch(ctx, js.Conn(), []*nats.Msg{nats.NewMsg("elsewhere")}, true)
		require.ErrorContains(t, err, "the reply is not from JetStream")
		require.NoError(t, sub.Unsubscribe())
		_, err = js.Conn().Subscribe("elsewhere", func(m *nats.Msg) { _ = m.Respond([]byte(`no`)) })
		require.NoError(t, err)
		_, err = publishBatch(ctx, js.Conn(), []*nats.Msg{nats.NewMsg("elsewhere")}, true)
		require.ErrorContains(t, err, "invalid character")
	})
}

// A subscription that drains hands over what it has received, connected or not.
func TestDrainSubscription(t *testing.T) {
	for _, connected := range []bool{true, false} {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			nc, received, closed := s.Connect("app"), make(chan string, 10), make(chan struct{})
			sub, err := nc.Subscribe("a", func(m *nats.Msg) {
				time.Sleep(time.Second)
				received <- string(m.Data)
			})
			require.NoError(t, err)
			sub.SetClosedHandler(func(string) { close(closed) })
			require.NoError(t, nc.Publish("a", []byte("1")))
			require.NoError(t, nc.Publish("a", []byte("2")))
			require.NoError(t, nc.Flush())
			if !connected {
				s.Link("app").Down()
				time.Sleep(time.Second / 2)
			}
			drainSubscription(nc, sub)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			select {
			case <-closed:
			case <-ctx.Done():
				require.Fail(t, "it does not end")
			}
			require.Len(t, received, 2)
			s.Link("app").Up()
		})
	}
}
