package idempotent_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

func outbox(t *testing.T, js jetstream.JetStream, keep jetstream.RetentionPolicy) (jetstream.Stream, *idempotent.Publisher) {
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OUT", Subjects: []string{"letters.>"}, Retention: keep, Duplicates: time.Minute})
	require.NoError(t, err)
	p, err := idempotent.NewPublisher(t.Context(), js, "OUT")
	require.NoError(t, err)
	return stream, p
}

// stored is how many messages the stream has got, those that are gone included.
func stored(t *testing.T, stream jetstream.Stream) int {
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	return int(info.State.LastSeq)
}

func TestPublisher(t *testing.T) {
	paid, shipped := &nats.Msg{Subject: "letters.paid"}, &nats.Msg{Subject: "letters.shipped"}
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s *natstest.Server, js jetstream.JetStream)
	}{
		{"an id is of its subject, where plain Nats-Msg-Id swallows the other", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := outbox(t, js, jetstream.LimitsPolicy)
			for _, msg := range []*nats.Msg{paid, shipped} {
				_, err := js.PublishMsg(t.Context(), msg, jetstream.WithMsgID("order-1"))
				require.NoError(t, err)
			}
			require.Equal(t, 1, stored(t, stream), "shipped is lost, and no error told")
			for range 10 {
				for _, msg := range []*nats.Msg{paid, shipped} {
					_, err := p.Publish(t.Context(), "order-1", msg)
					require.NoError(t, err)
				}
			}
			require.Equal(t, 1+2, stored(t, stream))
		}},
		{"the message is as it was given, and its headers too", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := outbox(t, js, jetstream.LimitsPolicy)
			msg := &nats.Msg{Subject: "letters.paid", Header: nats.Header{"To": {"ann"}}, Data: []byte("dear")}
			_, err := p.Publish(t.Context(), "order-1", msg)
			require.NoError(t, err)
			require.Len(t, msg.Header, 1)
			got, err := stream.GetMsg(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, "dear", string(got.Data))
			require.Equal(t, nats.Header{"To": {"ann"}, "Nats-Msg-Id": {"letters.paid/order-1"}, "Nats-Expected-Stream": {"OUT"}}, got.Header)
		}},
		{"content is not compared: what comes second is dropped", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := outbox(t, js, jetstream.LimitsPolicy)
			for i, amount := range []string{"10", "20"} {
				done, err := p.Publish(t.Context(), "order-1", &nats.Msg{Subject: "letters.paid", Data: []byte(amount)})
				require.NoError(t, err)
				require.Equal(t, i == 0, done)
			}
			require.Equal(t, 1, stored(t, stream))
		}},
		{"a cut is waited out", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := outbox(t, js, jetstream.LimitsPolicy)
			s.Link("client").Down()
			time.Sleep(time.Second)
			time.AfterFunc(30*time.Second, s.Link("client").Up)
			done, err := p.Publish(t.Context(), "order-1", paid)
			require.NoError(t, err)
			require.True(t, done)
			require.Equal(t, 1, stored(t, stream))
		}},
		{"past the window it gives up, and what was not sent is not sent later", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := outbox(t, js, jetstream.LimitsPolicy)
			s.Link("client").Down()
			time.Sleep(time.Second)
			start := time.Now()
			_, err := p.Publish(t.Context(), "order-1", paid)
			require.ErrorIs(t, err, nats.ErrDisconnected)
			require.NotErrorIs(t, err, idempotent.ErrInDoubt)
			require.InDelta(t, 54, time.Since(start).Seconds(), 1)
			s.Link("client").Up()
			time.Sleep(time.Minute)
			require.Equal(t, 0, stored(t, stream))
		}},
		{"what was sent without an answer is in doubt", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := outbox(t, js, jetstream.LimitsPolicy)
			s.Link("client").Delay(5 * time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := p.Publish(ctx, "order-1", paid)
			require.ErrorIs(t, err, idempotent.ErrInDoubt)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			time.Sleep(10 * time.Second)
			s.Link("client").Delay(0)
			done, err := p.Publish(t.Context(), "order-1", paid)
			require.NoError(t, err)
			require.False(t, done, "it was stored")
			require.Equal(t, 1, stored(t, stream))
		}},
		{"what the network holds back past the window is stored again", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			_, p := outbox(t, js, jetstream.LimitsPolicy)
			s.Link("client").Delay(3 * time.Second) // the first try comes in time
			time.AfterFunc(time.Second, func() { s.Link("client").Delay(2 * time.Minute) })
			_, err := p.Publish(t.Context(), "order-1", paid)
			require.ErrorIs(t, err, idempotent.ErrInDoubt)
			time.Sleep(10 * time.Minute)
			stream, err := s.JetStream("observer").Stream(t.Context(), "OUT")
			require.NoError(t, err)
			require.Greater(t, stored(t, stream), 1)
		}},
		{"a stream remembers across a restart only what it still has", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := outbox(t, js, jetstream.WorkQueuePolicy)
			for _, msg := range []*nats.Msg{paid, shipped} {
				_, err := p.Publish(t.Context(), "order-1", msg)
				require.NoError(t, err)
			}
			require.NoError(t, stream.DeleteMsg(t.Context(), 1)) // as an ack does
			s.Stop()
			require.NoError(t, s.Start())
			time.Sleep(time.Second)
			for _, msg := range []*nats.Msg{paid, shipped} {
				done, err := p.Publish(t.Context(), "order-1", msg)
				require.NoError(t, err)
				require.Equal(t, msg == paid, done)
			}
			require.Equal(t, 3, stored(t, stream), "paid is there again, inside the window")
		}},
		{"beyond the window a subject for each id still holds, if its sequence is expected to be zero", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := outbox(t, js, jetstream.LimitsPolicy)
			for range 3 {
				done, err := p.Publish(t.Context(), "order-1", paid)
				require.NoError(t, err)
				require.True(t, done)
				_, err = js.Publish(t.Context(), "letters.one.order-1", nil, jetstream.WithExpectLastSequencePerSubject(0))
				if err != nil {
					require.ErrorContains(t, err, "wrong last sequence")
				}
				time.Sleep(2 * time.Minute)
			}
			require.Equal(t, 3+1, stored(t, stream))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) { c.run(t, s, s.JetStream("client")) })
		})
	}
}

// publishes has a client publish twenty letters while its link and the server come
// and go, until each is acknowledged, and counts what was stored.
func publishes(t *testing.T, seed uint64, how func(ctx context.Context, p *idempotent.Publisher, js jetstream.JetStream, id string) error) (o outcome) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		chance := rand.New(rand.NewPCG(seed, 2))
		js := s.JetStream("client")
		stream, p := outbox(t, js, jetstream.LimitsPolicy)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for i := range 20 {
				for how(t.Context(), p, js, fmt.Sprint("letter-", i)) != nil {
					time.Sleep(pause)
				}
				time.Sleep(pause)
			}
		}()
		s.Link("client").Delay(10 * time.Millisecond)
		for range 8 {
			time.Sleep(time.Duration(chance.IntN(400)) * time.Millisecond)
			switch chance.IntN(4) {
			case 0, 1:
				s.Link("client").Cut()
			case 2:
				s.Link("client").Down()
				time.Sleep(time.Duration(chance.IntN(10)) * time.Second)
				s.Link("client").Up()
			case 3:
				s.Stop()
				time.Sleep(time.Duration(chance.IntN(3)) * time.Second)
				require.NoError(t, s.Start())
			}
		}
		<-ended
		time.Sleep(5 * time.Second)
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		require.NoError(t, err)
		times := map[string]int{}
		for subject, n := range info.State.Subjects {
			times[strings.TrimPrefix(subject, "letters.")] = int(n)
		}
		o = judge(times, 20)
	})
	return o
}

const pause = 100 * time.Millisecond
