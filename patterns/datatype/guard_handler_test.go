package datatype_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datatype"
)

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
		stop := read(t, js, one, "billing", func(_ context.Context, m datatype.Message[VisitV1]) error {
			got = append(got, fmt.Sprint(m.Sequence, " ", time.Since(start).Round(time.Second)))
			switch {
			case m.Sequence == 1 && len(got) < 6:
				return errors.New("temporary")
			case m.Sequence == 2:
				return fmt.Errorf("%w: no such patient", datatype.ErrPoison)
			}
			return nil
		})
		time.Sleep(20 * time.Second)
		stop()
		require.Equal(t, []string{"1 0s", "2 0s", "3 0s", "1 1s", "1 3s", "1 7s"}, got)
		diverted := stored(t, js, "INVALID_visit")
		require.Len(t, diverted, 1)
		require.Equal(t, "poison message", diverted[0].Header.Get(datatype.HeaderReason))
		require.Equal(t, "datatype: poison message: no such patient", diverted[0].Header.Get(datatype.HeaderError))
	})
}

// A panic is an ordinary error: it fails this delivery of this message only.
func TestPanic(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		c := open(t, js, one)
		for n := 1; n <= 2; n++ {
			must(c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", n}))
		}
		var got []string
		stop := read(t, js, one, "billing", func(_ context.Context, m datatype.Message[VisitV1]) error {
			got = append(got, fmt.Sprintf("%d, delivery %d", m.Sequence, m.Delivery))
			if len(got) == 1 {
				panic("a bug")
			}
			return nil
		})
		time.Sleep(10 * time.Second)
		stop()
		require.Equal(t, []string{"1, delivery 1", "2, delivery 1", "1, delivery 2"}, got)
		require.Empty(t, stored(t, js, "INVALID_visit"))
	})
}

// panicking is a codec that panics.
type panicking struct{ datatype.Codec[VisitV1] }

func (panicking) Decode(nats.Header, []byte) (VisitV1, error) { panic("a bug") }

// A panic of the codec diverts the message: otherwise it would stop each process that
// receives it.
func TestCodecPanics(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		c, err := datatype.NewChannel(t.Context(), js, "visit", datatype.Codec[VisitV1](panicking{one}), memory)
		require.NoError(t, err)
		must(c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", 1}))
		cons := consumer(t, js, "billing")
		guarded, err := c.Guard(t.Context(), cons, func(context.Context, datatype.Message[VisitV1]) error { return nil })
		require.NoError(t, err)
		consume, err := cons.Consume(guarded)
		require.NoError(t, err)
		time.Sleep(time.Second)
		consume.Stop()
		<-consume.Closed()
		diverted := stored(t, js, "INVALID_visit")
		require.Len(t, diverted, 1)
		require.Equal(t, "invalid message", diverted[0].Header.Get(datatype.HeaderReason))
		require.Equal(t, "panic: a bug", diverted[0].Header.Get(datatype.HeaderError))
	})
}

// A diverted message is as it was stored, also if the handler has changed its headers.
func TestHandlerChangesMessage(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		open(t, js, one)
		header, data, err := one.Encode(VisitV1{"p-1", "Ann Lee", 1})
		require.NoError(t, err)
		header.Set("Trace", "t-1")
		must(js.PublishMsg(t.Context(), &nats.Msg{Subject: "datatype.visit.ann", Header: header, Data: data}))
		stop := read(t, js, one, "billing", func(_ context.Context, m datatype.Message[VisitV1]) error {
			m.Header.Set("Trace", "changed")
			return datatype.ErrPoison
		})
		time.Sleep(time.Second)
		stop()
		diverted := stored(t, js, "INVALID_visit")
		require.Len(t, diverted, 1)
		require.Equal(t, "poison message", diverted[0].Header.Get(datatype.HeaderReason))
		require.Equal(t, "t-1", diverted[0].Header.Get("Trace"))
	})
}

// A poison message is diverted also if the context ends, or the message is removed from
// its stream, while it is handled.
func TestPoisonAtTheEnd(t *testing.T) {
	for name, removed := range map[string]bool{"the context ends": false, "the message is removed": true} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				one, _, _ := visits(t)
				js := s.JetStream("clinic")
				c := open(t, js, one)
				must(c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", 1}))
				ctx, end := context.WithCancel(t.Context())
				defer end()
				cons := consumer(t, js, "billing")
				guarded, err := c.Guard(ctx, cons, func(context.Context, datatype.Message[VisitV1]) error {
					if removed {
						return errors.Join(datatype.ErrPoison, must(js.Stream(t.Context(), "DATATYPE_visit")).DeleteMsg(t.Context(), 1))
					}
					end()
					return datatype.ErrPoison
				})
				require.NoError(t, err)
				consume, err := cons.Consume(guarded)
				require.NoError(t, err)
				time.Sleep(time.Second)
				consume.Stop()
				<-consume.Closed()
				diverted := stored(t, js, "INVALID_visit")
				require.Len(t, diverted, 1)
				require.Contains(t, string(diverted[0].Data), "Ann Lee")
			})
		})
	}
}
