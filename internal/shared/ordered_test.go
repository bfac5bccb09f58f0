package shared

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

// Each message is handled once and in order, during disconnects and a restart of the
// server, which forgets the consumer. The end of ctx ends it also without a connection.
func TestReadOrdered(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("publisher")
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FEED", Subjects: []string{"feed.*"}})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 2}
		var got, want []string
		ended := make(chan error, 1)
		reader := s.JetStream("reader")
		go func() {
			ended <- readOrdered(ctx, reader, slog.New(slog.DiscardHandler), "FEED", cfg, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) {
				got = append(got, fmt.Sprint(meta.Sequence.Stream, string(msg.Data())))
			})
		}()
		for i := range 100 {
			switch i {
			case 20:
				s.Link("reader").Cut()
			case 40:
				s.Link("reader").Down()
			case 60:
				s.Link("reader").Up()
			case 80:
				s.Stop()
				require.NoError(t, s.Start())
				time.Sleep(5 * time.Second)
			}
			_, err := js.Publish(t.Context(), "feed.a", fmt.Append(nil, "-", i))
			require.NoError(t, err)
			if i > 0 {
				want = append(want, fmt.Sprint(i+1, "-", i))
			}
			time.Sleep(30 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		s.Link("reader").Down()
		time.Sleep(time.Second)
		cancel()
		require.NoError(t, <-ended)
		require.Equal(t, want, got)
	})
}

func TestReadOrderedEnds(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(js jetstream.JetStream) error
		want error
	}{
		"the stream is deleted": {func(js jetstream.JetStream) error { return js.DeleteStream(context.Background(), "FEED") }, jetstream.ErrStreamNotFound},
		"the connection is closed": {func(js jetstream.JetStream) error {
			js.Conn().Close()
			return nil
		}, nats.ErrConnectionClosed},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("reader")
				_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FEED", Subjects: []string{"feed.*"}})
				require.NoError(t, err)
				ended := make(chan error, 1)
				go func() {
					ended <- readOrdered(t.Context(), js, slog.New(slog.DiscardHandler), "FEED", jetstream.ConsumerConfig{}, func(jetstream.Msg, *jetstream.MsgMetadata) {})
				}()
				time.Sleep(time.Second)
				require.NoError(t, c.fail(js))
				err = <-ended
				require.True(t, errors.Is(err, c.want) || errors.Is(err, jetstream.ErrConnectionClosed), err)
				require.ErrorContains(t, err, "read stream FEED")
			})
		})
	}
}

// lossyLink is a link that can lose what the server sends, until the client reconnects.
type lossyLink struct {
	nats.InProcessConnProvider
	lose atomic.Bool
}

func (l *lossyLink) InProcessConn() (net.Conn, error) {
	l.lose.Store(false)
	conn, err := l.InProcessConnProvider.InProcessConn()
	return &lossyConn{conn, l}, err
}

type lossyConn struct {
	net.Conn
	link *lossyLink
}

func (c *lossyConn) Read(b []byte) (n int, err error) {
	n, err = c.Conn.Read(b)
	for err == nil && c.link.lose.Load() {
		n, err = c.Conn.Read(b)
	}
	return n, err
}

// The last message of a stream is handled also if a disconnect loses it: no later one
// shows the gap.
func TestReadOrderedLosesLast(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		link := &lossyLink{InProcessConnProvider: s.Link("reader")}
		js := s.JetStream("reader", nats.InProcessServer(link))
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FEED", Subjects: []string{"feed.*"}})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		publisher := s.JetStream("publisher")
		go func() {
			time.Sleep(time.Second)
			link.lose.Store(true)
			_, _ = publisher.Publish(ctx, "feed.a", nil) // if it fails, the test does
			time.Sleep(10 * time.Millisecond)
			s.Link("reader").Cut()
		}()
		var got []uint64
		require.NoError(t, readOrdered(ctx, js, slog.New(slog.DiscardHandler), "FEED", jetstream.ConsumerConfig{}, func(_ jetstream.Msg, meta *jetstream.MsgMetadata) {
			got = append(got, meta.Sequence.Stream)
			cancel()
		}))
		require.Equal(t, []uint64{1}, got)
	})
}

// A lost message that is not the last one is noticed without a disconnect.
func TestReadOrderedGap(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		link := &lossyLink{InProcessConnProvider: s.Link("reader")}
		js, publisher := s.JetStream("reader", nats.InProcessServer(link)), s.JetStream("publisher")
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FEED", Subjects: []string{"feed.*"}})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			for i := range 3 {
				time.Sleep(100 * time.Millisecond)
				link.lose.Store(i == 1)
				_, _ = publisher.Publish(ctx, "feed.a", nil) // if it fails, the test does
			}
		}()
		var got []uint64
		cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 1}
		require.NoError(t, readOrdered(ctx, js, slog.New(slog.DiscardHandler), "FEED", cfg, func(_ jetstream.Msg, meta *jetstream.MsgMetadata) {
			if got = append(got, meta.Sequence.Stream); meta.Sequence.Stream == 3 {
				cancel()
			}
		}))
		require.Equal(t, []uint64{1, 2, 3}, got)
	})
}

// A batch is stored with one round trip, all or none.
func TestSendBatch(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("writer")
		stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FEED", Subjects: []string{"feed.*"}, AllowAtomicPublish: true})
		require.NoError(t, err)
		msgs := func(n int) (msgs []*nats.Msg) {
			for range n {
				msgs = append(msgs, &nats.Msg{Subject: "feed.a", Header: nats.Header{}})
			}
			return msgs
		}
		s.Link("writer").Delay(time.Second)
		for n, last := range []uint64{1: 1, 2: 3, 3: 6} {
			if n == 0 {
				continue
			}
			began := time.Now()
			seq, err := publishBatch(t.Context(), js.Conn(), msgs(n), false)
			require.NoError(t, err)
			require.Equal(t, last, seq)
			require.Equal(t, time.Second, time.Since(began))
		}
		s.Link("writer").Delay(0)
		refused := msgs(3)
		refused[2].Header.Set(jetstream.ExpectedLastSubjSeqHeader, "99")
		_, err = publishBatch(t.Context(), js.Conn(), refused, false)
		require.True(t, isConflict(err), "%v", err)
		info, err := stream.Info(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 6, info.State.Msgs)
	})
}
