package datatype_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datatype"
)

// A correction keeps both messages. A reader that ignores Corrects counts both.
func TestCorrect(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		c := open(t, js, one)
		wrong, err := c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", 200})
		require.NoError(t, err)
		_, err = c.Publish(t.Context(), "ann", VisitV1{"p-1", "Ann Lee", 30})
		require.NoError(t, err)
		_, err = c.Correct(t.Context(), "ann", wrong, VisitV1{"p-1", "Ann Lee", 20})
		require.NoError(t, err)
		for _, bad := range []struct {
			key string
			seq uint64
		}{{"bob", wrong}, {"ann", 99}, {"a.b", wrong}} {
			_, err = c.Correct(t.Context(), bad.key, bad.seq, VisitV1{"p-1", "Ann Lee", 20})
			require.ErrorIs(t, err, datatype.ErrNoMessage)
		}
		corrected, sum := map[uint64]int{}, 0
		stop := read(t, js, one, "billing", func(_ context.Context, m datatype.Message[VisitV1]) error {
			sum += m.Value.Minutes
			if m.Corrects > 0 {
				delete(corrected, m.Corrects)
			}
			corrected[m.Sequence] = m.Value.Minutes
			return nil
		})
		time.Sleep(time.Second)
		stop()
		require.Equal(t, map[uint64]int{2: 30, 3: 20}, corrected)
		require.Equal(t, 250, sum)
		require.Len(t, stored(t, js, "DATATYPE_visit"), 3)
	})
}

// plain is a codec without headers.
type plain struct{}

func (plain) Encode(v string) (nats.Header, []byte, error)      { return nil, []byte(v), nil }
func (plain) Decode(_ nats.Header, data []byte) (string, error) { return string(data), nil }

func TestCodecWithoutHeaders(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("clinic")
		c, err := datatype.NewChannel(t.Context(), js, "note", datatype.Codec[string](plain{}), memory)
		require.NoError(t, err)
		sequence := must(c.Publish(t.Context(), "ann", "wrong"))
		must(c.Correct(t.Context(), "ann", sequence, "right"))
		notes := stored(t, js, "DATATYPE_note")
		require.Len(t, notes, 2)
		require.Equal(t, "1", notes[1].Header.Get(datatype.HeaderCorrects))
	})
}
