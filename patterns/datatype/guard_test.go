package datatype_test

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
	"github.com/natspatterns/catalog/patterns/datatype"
)

// seen records what a reader receives, as "key:value".
func seen[T any](got *[]string, value func(T) any) datatype.Handler[T] {
	return func(_ context.Context, m datatype.Message[T]) error {
		*got = append(*got, fmt.Sprintf("%s:%v", m.Key, value(m.Value)))
		return nil
	}
}

func minutes(v VisitV1) any { return v.Minutes }

// A message that cannot be decoded is stored in the invalid message channel with its
// error. The next messages are handled.
func TestDivert(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, three := visits(t)
		js := s.JetStream("clinic")
		var got []string
		stop := read(t, js, one, "billing", seen(&got, minutes))
		in := open(t, js, one)
		first, err := in.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", 20})
		require.NoError(t, err)
		require.Equal(t, uint64(1), first)
		_, err = open(t, js, three).Publish(t.Context(), "ann", VisitV3{Patient: "p-1", Given: "Ann", Family: "Lee", Urgency: "low"})
		require.NoError(t, err)
		bad := as("visit", 1, 1, `{"patient":"p-1","name":"Ann","minutes":"ten"}`)
		bad.Header.Set(jetstream.MsgIDHeader, "m-1")
		bad.Header["nats-ttl"] = []string{"1s"}
		bad.Header.Set("Traceparent", "00-1-2-00")
		bad.Header.Set(datatype.HeaderReason, "not ours")
		bad.Header.Set(datatype.HeaderTruncated, "true")
		for _, m := range []*nats.Msg{bad, as("invoice", 1, 1, `{}`), {Subject: "datatype.visit.bob", Data: []byte("hello")}} {
			_, err = js.PublishMsg(t.Context(), m)
			require.NoError(t, err)
		}
		_, err = in.Publish(t.Context(), "bob", VisitV1{"p-2", "Bob Day", 30})
		require.NoError(t, err)
		time.Sleep(100 * time.Millisecond)
		stop()
		require.Equal(t, []string{"ann:20", "bob:30"}, got)

		var reports []string
		diverted := stored(t, js, "INVALID_visit")
		for _, m := range diverted {
			reports = append(reports, m.Header.Get(datatype.HeaderSequence)+" "+m.Header.Get(datatype.HeaderSubject)+" "+m.Header.Get(datatype.HeaderError))
			require.Equal(t, "invalid message", m.Header.Get(datatype.HeaderReason))
			require.True(t, strings.HasPrefix(m.Subject, "invalid.visit.billing."+m.Header.Get(datatype.HeaderSequence)+"."), m.Subject)
		}
		require.Equal(t, []string{"2 datatype.visit.ann schema: version too new: version 3 needs a reader of version 3, this reader has version 1",
			"3 datatype.visit.ann schema: invalid payload: minutes: got string, want integer",
			`4 datatype.visit.ann schema: another type: "invoice", want visit`,
			`5 datatype.visit.bob schema: no format indicator: "", version "" since ""; use Encode`}, reports)
		require.Equal(t, bad.Data, diverted[1].Data)
		require.Empty(t, diverted[1].Header.Get(datatype.HeaderTruncated), "a publisher cannot set it")
		require.Equal(t, "00-1-2-00", diverted[1].Header.Get("Traceparent"))
		for name := range diverted[1].Header {
			require.False(t, strings.EqualFold(name, "Nats-Msg-Id") || strings.EqualFold(name, "Nats-TTL"), name)
		}
		v, err := three.Decode(diverted[0].Header, diverted[0].Data)
		require.NoError(t, err, "an upgraded reader can read a diverted message")
		require.Equal(t, "Lee", v.Family)

		info, err := consumer(t, js, "billing").Info(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(6), info.AckFloor.Stream, "every message is acknowledged or terminated")
	})
}

// A message whose ack is lost is handled again.
func TestRedelivered(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		c := open(t, js, one)
		_, err := c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", 20})
		require.NoError(t, err)
		reader, calls := s.JetStream("reader", nats.ReconnectBufSize(-1)), 0
		stop := read(t, reader, one, "billing", func(context.Context, datatype.Message[VisitV1]) error {
			if calls++; calls == 1 {
				s.Link("reader").Down() // the ack is lost
				time.AfterFunc(time.Minute, s.Link("reader").Up)
			}
			return nil
		})
		time.Sleep(2 * time.Minute)
		stop()
		require.Equal(t, 2, calls)
	})
}

// A diverted message that is redelivered long after any duplicate window is stored once.
func TestDivertedOnce(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		open(t, js, one)
		_, err := js.PublishMsg(t.Context(), as("invoice", 1, 1, `{}`))
		require.NoError(t, err)
		for range 3 {
			stop := read(t, js, one, "billing", seen(new([]string), minutes))
			time.Sleep(time.Second)
			stop()
			_, err := must(js.Stream(t.Context(), "DATATYPE_visit")).ResetConsumerToSequence(t.Context(), "billing", 1)
			require.NoError(t, err)
			time.Sleep(time.Hour)
		}
		require.Len(t, stored(t, js, "INVALID_visit"), 1)
		stop := read(t, js, one, "audit", seen(new([]string), minutes)) // another consumer diverts it too
		time.Sleep(time.Second)
		stop()
		require.Len(t, stored(t, js, "INVALID_visit"), 2)
	})
}

// While the invalid message channel does not exist, valid messages are handled, and an
// invalid one stays in its stream.
func TestNoInvalidStream(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		c := open(t, js, one)
		var got []string
		stop := read(t, js, one, "billing", seen(&got, minutes))
		require.NoError(t, js.DeleteStream(t.Context(), "INVALID_visit"))
		_, err := js.PublishMsg(t.Context(), as("invoice", 1, 1, `{}`))
		require.NoError(t, err)
		_, err = c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", 20})
		require.NoError(t, err)
		time.Sleep(5 * time.Minute)
		require.Equal(t, []string{"ann:20"}, got)
		open(t, js, one)
		time.Sleep(time.Minute)
		stop()
		require.Len(t, stored(t, js, "INVALID_visit"), 1)
	})
}

// A message on another subject is invalid, whatever its headers are.
func TestOtherSubject(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		ctx, js := t.Context(), s.JetStream("clinic")
		messages, err := datatype.MessagesStreamConfig("visit", memory)
		require.NoError(t, err)
		messages.Subjects = []string{"elsewhere"}
		must(js.CreateStream(ctx, messages))
		m := as("visit", 1, 1, `{"patient":"p-1","name":"Ann","minutes":20}`)
		m.Subject = "elsewhere"
		must(js.PublishMsg(ctx, m))
		require.NoError(t, datatype.Provision(ctx, js, "visit", memory))
		var got []string
		stop := read(t, js, one, "billing", seen(&got, minutes))
		time.Sleep(time.Second)
		stop()
		require.Empty(t, got)
		require.Equal(t, "datatype: invalid message: the subject is elsewhere", stored(t, js, "INVALID_visit")[0].Header.Get(datatype.HeaderError))
	})
}
