package schema_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schema"
)

// seen notes what a reader gets, as "key:minutes".
func seen[T any](got *[]string, say func(T) any) schema.Handler[T] {
	return func(_ context.Context, m schema.Message[T]) error {
		*got = append(*got, fmt.Sprintf("%s:%v", m.Key, say(m.Value)))
		return nil
	}
}

func minutes(v VisitV1) any { return v.Minutes }

// What cannot be read goes to the invalid message channel with its reason, and holds
// up nothing.
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
		bad.Header.Set(schema.HeaderReason, "none of your business")
		bad.Header.Set(schema.HeaderLeft, "true")
		for _, m := range []*nats.Msg{bad, as("invoice", 1, 1, `{}`), {Subject: "schema.visit.bob", Data: []byte("hello")}} {
			_, err = js.PublishMsg(t.Context(), m)
			require.NoError(t, err)
		}
		_, err = in.Publish(t.Context(), "bob", VisitV1{"p-2", "Bob Day", 30})
		require.NoError(t, err)
		time.Sleep(100 * time.Millisecond)
		stop()
		require.Equal(t, []string{"ann:20", "bob:30"}, got)

		var told []string
		diverted := stored(t, js, "INVALID_visit")
		for _, m := range diverted {
			told = append(told, m.Header.Get(schema.HeaderSequence)+" "+m.Header.Get(schema.HeaderSubject)+" "+m.Header.Get(schema.HeaderReason))
			require.True(t, strings.HasPrefix(m.Subject, "invalid.visit.billing."+m.Header.Get(schema.HeaderSequence)+"."), m.Subject)
		}
		require.Equal(t, []string{"2 schema.visit.ann from the future", "3 schema.visit.ann against the schema",
			"4 schema.visit.ann another type", "5 schema.visit.bob no format indicator"}, told)
		require.Equal(t, "schema: against the schema: minutes: got string, want integer", diverted[1].Header.Get(schema.HeaderError))
		require.Equal(t, bad.Data, diverted[1].Data)
		require.Empty(t, diverted[1].Header.Get(schema.HeaderLeft), "a sender does not say so")
		require.Equal(t, "00-1-2-00", diverted[1].Header.Get("Traceparent"))
		for name := range diverted[1].Header {
			require.False(t, strings.EqualFold(name, "Nats-Msg-Id") || strings.EqualFold(name, "Nats-TTL"), name)
		}
		v, err := three.Decode(diverted[0].Header, diverted[0].Data)
		require.NoError(t, err, "whoever is upgraded reads what was diverted")
		require.Equal(t, "Lee", v.Family)

		info, err := consumer(t, js, "billing").Info(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(6), info.AckFloor.Stream, "nothing is left pending")
	})
}

func TestHandler(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		c := open(t, js, one)
		for n := 1; n <= 3; n++ {
			_, err := c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", n})
			require.NoError(t, err)
		}
		var got []string
		start := time.Now()
		stop := read(t, js, one, "billing", func(_ context.Context, m schema.Message[VisitV1]) error {
			got = append(got, fmt.Sprint(m.Sequence, " ", time.Since(start).Round(time.Second)))
			switch {
			case m.Sequence == 1 && len(got) < 6:
				return errors.New("the printer is out of paper")
			case m.Sequence == 2:
				return fmt.Errorf("%w: no such patient", schema.ErrRefused)
			}
			return nil
		})
		time.Sleep(20 * time.Second)
		stop()
		require.Equal(t, []string{"1 0s", "2 0s", "3 0s", "1 1s", "1 3s", "1 7s"}, got)
		diverted := stored(t, js, "INVALID_visit")
		require.Len(t, diverted, 1)
		require.Equal(t, "refused", diverted[0].Header.Get(schema.HeaderReason))
		require.Equal(t, "schema: refused: no such patient", diverted[0].Header.Get(schema.HeaderError))
	})
}

// An ack that is lost brings the event again: that is not promised away.
func TestAgain(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		c := open(t, js, one)
		_, err := c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", 20})
		require.NoError(t, err)
		reader, calls := s.JetStream("reader"), 0
		stop := read(t, reader, one, "billing", func(context.Context, schema.Message[VisitV1]) error {
			if calls++; calls == 1 {
				s.Link("reader").Down() // the ack goes nowhere
				time.AfterFunc(time.Minute, s.Link("reader").Up)
			}
			return nil
		})
		time.Sleep(2 * time.Minute)
		stop()
		require.Equal(t, 2, calls)
	})
}

// A message that is diverted, and comes again long after any window of duplicates,
// is stored once.
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
			_, err := must(js.Stream(t.Context(), "SCHEMA_visit")).ResetConsumerToSequence(t.Context(), "billing", 1)
			require.NoError(t, err)
			time.Sleep(time.Hour)
		}
		require.Len(t, stored(t, js, "INVALID_visit"), 1)
		stop := read(t, js, one, "audit", seen(new([]string), minutes)) // each reader has its own reasons
		time.Sleep(time.Second)
		stop()
		require.Len(t, stored(t, js, "INVALID_visit"), 2)
	})
}

// While the invalid message channel is away, what is good goes on, and what is not
// stays where it is.
func TestNowhereToDivert(t *testing.T) {
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

// What came into the stream by another subject is not taken for what it says.
func TestForeignSubject(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		ctx, js := t.Context(), s.JetStream("clinic")
		events, _, err := schema.Streams("visit", schema.Config{})
		require.NoError(t, err)
		events.Subjects = []string{"elsewhere"}
		must(js.CreateStream(ctx, events))
		m := as("visit", 1, 1, `{"patient":"p-1","name":"Ann","minutes":20}`)
		m.Subject = "elsewhere"
		must(js.PublishMsg(ctx, m))
		require.NoError(t, schema.Provision(ctx, js, "visit", schema.Config{}))
		var got []string
		stop := read(t, js, one, "billing", seen(&got, minutes))
		time.Sleep(time.Second)
		stop()
		require.Empty(t, got)
		require.Equal(t, "schema: another type: on elsewhere", stored(t, js, "INVALID_visit")[0].Header.Get(schema.HeaderError))
	})
}
