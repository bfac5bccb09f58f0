package sequence_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sequence"
)

func TestGap(t *testing.T) {
	for _, tc := range []struct {
		name   string
		decide sequence.Decision
		want   string // gone out after half a minute, page 3 having come then
		failed bool
	}{
		{"wait", sequence.Wait, "a 1,a 2,a 3,a 4,a 5", false},
		{"skip", sequence.Skip, "a 1,a 2,a 4,a 5", false},
		{"fail", sequence.Fail, "a 1,a 2", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("sender")
				pages(t, js)
				var log bytes.Buffer
				var gaps []sequence.Gap
				cfg := sequence.Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Missing: func(g sequence.Gap) sequence.Decision {
					gaps = append(gaps, g)
					return tc.decide
				}}
				stop := run(t, s.JetStream("reseq"), cfg)
				put(t, js, "a", 5, 1, 2, 4, 5)
				put(t, js, "b", 1, 1)
				time.Sleep(3 * time.Second)
				all, _ := ordered(t, js, "*")
				require.Equal(t, "a 1,a 2,b 1", strings.Join(all, ","), "nobody else waits")
				time.Sleep(30 * time.Second)
				put(t, js, "a", 5, 3)
				time.Sleep(time.Second)
				got, _ := ordered(t, js, "a")
				require.Equal(t, tc.want, strings.Join(got, ","))
				err := stop()
				if tc.failed {
					require.ErrorIs(t, err, sequence.ErrMissing)
					require.ErrorContains(t, err, "3 to 3 of a")
				} else {
					require.NoError(t, err)
				}
				require.Equal(t, "a", gaps[0].ID)
				require.EqualValues(t, 3, gaps[0].From)
				require.EqualValues(t, 3, gaps[0].To)
				require.InDelta(t, 5, gaps[0].Waited.Seconds(), 1.3, "Patience, and a quarter at most")
				require.Equal(t, tc.decide == sequence.Wait, len(gaps) > 1, "who waits is asked again")
				require.Equal(t, tc.decide == sequence.Skip, strings.Contains(log.String(), "too late"), log.String())
			})
		})
	}
}

// What failed goes on where it stood, once the page is there.
func TestFailedGoesOn(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("one"), sequence.Config{Missing: func(sequence.Gap) sequence.Decision { return sequence.Fail }})
		put(t, js, "a", 4, 1, 3, 4)
		time.Sleep(time.Minute)
		require.ErrorIs(t, stop(), sequence.ErrMissing)
		put(t, js, "a", 4, 2)
		stop = run(t, s.JetStream("two"), sequence.Config{})
		time.Sleep(time.Second)
		got, _ := ordered(t, js, "a")
		require.Equal(t, "a 1,a 2,a 3,a 4", strings.Join(got, ","))
		require.NoError(t, stop())
	})
}

// However many wait for one, no more than Room are held, and none is lost.
func TestRoom(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		observer := s.Connect("observer")
		acks, err := observer.SubscribeSync("$JS.ACK.PAGES.>")
		require.NoError(t, err)
		require.NoError(t, observer.Flush())
		var full atomic.Int64
		stop := run(t, s.JetStream("reseq"), sequence.Config{Room: 8, Missing: func(g sequence.Gap) sequence.Decision {
			if g.Full {
				full.Add(1)
			}
			return sequence.Wait
		}})
		var numbers []uint64
		for i := range uint64(60) {
			numbers = append(numbers, 60-i) // the worst: the first comes last
		}
		put(t, js, "a", 60, numbers[:59]...)
		time.Sleep(10500 * time.Millisecond) // after ten seconds, it says what it holds
		require.Positive(t, full.Load())
		held := 0
		for m, err := acks.NextMsg(time.Millisecond); err == nil; m, err = acks.NextMsg(time.Millisecond) {
			if string(m.Data) == "+WPI" {
				held++
			}
		}
		require.True(t, 0 < held && held <= 8, "held %d", held)
		put(t, js, "a", 60, 1)
		time.Sleep(2 * time.Minute)
		got, _ := ordered(t, js, "a")
		require.Len(t, got, 60)
		require.NoError(t, stop())
	})
}

// What found no room comes again before it could itself be found missing.
func TestPutBack(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{Room: 3, Missing: func(g sequence.Gap) sequence.Decision {
			if g.Full {
				return sequence.Wait
			}
			return sequence.Skip
		}})
		put(t, js, "a", 6, 2, 3, 4, 1, 5, 6) // 4 finds no room, and is the next soon after
		time.Sleep(time.Minute)
		got, _ := ordered(t, js, "a")
		require.Equal(t, "a 1,a 2,a 3,a 4,a 5,a 6", strings.Join(got, ","))
		require.NoError(t, stop())
	})
}
