package sequence_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sequence"
)

func TestGap(t *testing.T) {
	for _, tc := range []struct {
		name   string
		decide sequence.Decision
		want   string // published after half a minute, when page 3 has arrived
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
				require.Equal(t, "a 1,a 2,b 1", strings.Join(all, ","), "other sequences do not wait")
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
				require.InDelta(t, 5, gaps[0].Waited.Seconds(), 1.3, "GapTimeout and at most a quarter")
				require.Equal(t, tc.decide == sequence.Wait, len(gaps) > 1, "after Wait, Missing is called again")
				require.Equal(t, tc.decide == sequence.Skip, strings.Contains(log.String(), "too late"), log.String())
			})
		})
	}
}

// After Fail, another run continues at the same message.
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

// A skipped message that arrives later is logged, also by another resequencer.
func TestSkippedIsLogged(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("one"), sequence.Config{Missing: skip})
		put(t, js, "a", 3, 2)
		time.Sleep(10 * time.Second)
		require.NoError(t, stop())
		var log bytes.Buffer
		stop = run(t, s.JetStream("two"), sequence.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		put(t, js, "a", 3, 1)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Contains(t, log.String(), "too late")
	})
}

// While messages arrive at a full buffer, a gap is decided after GapTimeout.
func TestFullAndOverdue(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		start, over := time.Now(), time.Duration(0)
		stop := run(t, s.JetStream("reseq"), sequence.Config{Buffer: 4, Missing: func(g sequence.Gap) sequence.Decision {
			if g.Full {
				return sequence.Wait
			}
			over = time.Since(start)
			return sequence.Skip
		}})
		for n := range uint64(30) {
			put(t, js, "a", 0, n+2) // page 1 never comes
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		got, _ := ordered(t, js, "a")
		require.Len(t, got, 30, "evicted messages were redelivered before their own gap timed out")
		require.NoError(t, stop())
		require.LessOrEqual(t, over, 7*time.Second)
	})
}

// A panic of Missing is logged, and counts as Wait.
func TestMissingPanics(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		var log bytes.Buffer
		calls := 0
		stop := run(t, s.JetStream("reseq"), sequence.Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Missing: func(sequence.Gap) sequence.Decision {
			if calls++; calls == 1 {
				panic("no decision")
			}
			return sequence.Skip
		}})
		put(t, js, "a", 2, 2)
		time.Sleep(9 * time.Second)
		got, _ := ordered(t, js, "a")
		require.Empty(t, got)
		time.Sleep(5 * time.Second)
		got, _ = ordered(t, js, "a")
		require.Equal(t, []string{"a 2"}, got)
		require.NoError(t, stop())
		require.Contains(t, log.String(), "no decision")
	})
}

// another publishes a number of a to the output stream, as another resequencer does.
func another(t *testing.T, js jetstream.JetStream, number uint64) {
	m := &nats.Msg{Subject: "sequence.book.a", Data: fmt.Appendf(nil, "a %d", number)}
	require.NoError(t, sequence.Stamp(m, sequence.Position{ID: "a", Number: number}))
	must(js.PublishMsg(t.Context(), m))
}

// After another resequencer has published a part of a gap, the rest waits for GapTimeout
// again. After it has published all of it, Missing is not called, also if the buffer is
// full.
func TestAnotherClosesGap(t *testing.T) {
	for name, c := range map[string]struct {
		buffer      int
		early       []uint64
		wait        time.Duration
		other, late []uint64
		want        string
	}{
		"a part of a gap":                     {early: []uint64{3}, wait: 4800 * time.Millisecond, other: []uint64{1}, late: []uint64{2}, want: "a 1,a 2,a 3"},
		"a gap that is older than GapTimeout": {early: []uint64{2}, wait: 5900 * time.Millisecond, other: []uint64{1}, want: "a 1,a 2"},
		"the buffer is full":                  {buffer: 2, early: []uint64{2}, wait: 100 * time.Millisecond, other: []uint64{1}, late: []uint64{4, 3}, want: "a 1,a 2,a 3,a 4"},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, asked := s.JetStream("sender"), []sequence.Gap{}
				pages(t, js)
				stop := run(t, s.JetStream("reseq"), sequence.Config{Buffer: c.buffer, Missing: func(g sequence.Gap) sequence.Decision {
					asked = append(asked, g)
					return sequence.Skip
				}})
				time.Sleep(100 * time.Millisecond)
				put(t, js, "a", 0, c.early...)
				time.Sleep(c.wait)
				for _, n := range c.other {
					another(t, js, n)
				}
				if c.buffer == 0 {
					time.Sleep(2 * time.Second)
				}
				put(t, js, "a", 0, c.late...)
				time.Sleep(time.Minute)
				got, _ := ordered(t, js, "a")
				require.Equal(t, c.want, strings.Join(got, ","))
				require.NoError(t, stop())
				require.Empty(t, asked)
			})
		})
	}
}
