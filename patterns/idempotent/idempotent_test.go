package idempotent_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

// conformance is what all forms have in common. Each case has a server, a world,
// and a way to make a receiver.
var conformance = []struct {
	name string
	run  func(t *testing.T, s *natstest.Server, w world, open func(receiver string) receive)
}{
	{"ten redeliveries, one effect", func(t *testing.T, _ *natstest.Server, w world, open func(string) receive) {
		post := open("post")
		for i := range 11 {
			done, err := post(t.Context(), "letter-1", sends("letter-1"))
			require.NoError(t, err)
			require.Equal(t, i == 0, done)
		}
		require.Equal(t, map[string]int{"letter-1": 1}, w.sent())
	}},
	{"each id has its own effect, and so has each receiver", func(t *testing.T, _ *natstest.Server, w world, open func(string) receive) {
		for _, receiver := range []string{"post", "fax"} {
			for _, id := range []string{"letter-1", "letter-2"} {
				done, err := open(receiver)(t.Context(), id, sends(id))
				require.NoError(t, err)
				require.True(t, done)
			}
		}
		require.Equal(t, map[string]int{"letter-1": 2, "letter-2": 2}, w.sent())
	}},
	{"it is remembered by others, later, and after the server restarted", func(t *testing.T, s *natstest.Server, w world, open func(string) receive) {
		for i := range 4 {
			done, err := open("post")(t.Context(), "letter-1", sends("letter-1"))
			require.NoError(t, err)
			require.Equal(t, i == 0, done)
			time.Sleep(10 * time.Minute)
			s.Stop()
			require.NoError(t, s.Start())
			time.Sleep(time.Second)
		}
		require.Equal(t, map[string]int{"letter-1": 1}, w.sent())
	}},
}

// sends returns the effect on id.
func sends(id string) func(execer) error {
	return func(to execer) error { return send(to, id) }
}

func TestConformance(t *testing.T) {
	for _, f := range forms {
		for _, c := range conformance {
			t.Run(f.name+"/"+c.name, func(t *testing.T) {
				natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
					w, js := newWorld(t, 1), s.JetStream("worker")
					c.run(t, s, w, func(receiver string) receive {
						r, err := f.open(t.Context(), js, w, receiver, soon)
						require.NoError(t, err)
						return r
					})
				})
			})
		}
	}
}

// An effect that failed, in whatever way, leaves the message to the next try.
func TestFailed(t *testing.T) {
	for _, f := range []form{inKV, inTx} {
		t.Run(f.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				w := newWorld(t, 1)
				post, err := f.open(t.Context(), s.JetStream("worker"), w, "post", soon)
				require.NoError(t, err)
				done, err := post(t.Context(), "letter-1", func(execer) error { return errFailed })
				require.ErrorIs(t, err, errFailed)
				require.False(t, done)
				require.PanicsWithError(t, errFailed.Error(), func() {
					_, _ = post(t.Context(), "letter-1", func(execer) error { panic(errFailed) })
				})
				if done, err = post(t.Context(), "letter-1", sends("letter-1")); f.name == inKV.name {
					require.ErrorIs(t, err, idempotent.ErrBusy, "until the claim of the one that panicked ends")
					time.Sleep(soon.Lease + 2*time.Second) // the server is up to 2s late
					done, err = post(t.Context(), "letter-1", sends("letter-1"))
				}
				require.NoError(t, err)
				require.True(t, done)
				done, err = post(t.Context(), "letter-1", sends("letter-1"))
				require.NoError(t, err)
				require.False(t, done)
				require.Equal(t, map[string]int{"letter-1": 1}, w.sent())
			})
		})
	}
}

// Ten deliveries at once have one effect; those that cannot wait for it say so.
func TestAtOnce(t *testing.T) {
	s := natstest.Start(t)
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t, 10)
			atOnce(t, s, w, f)
			require.Equal(t, map[string]int{"letter-1": 1}, w.sent())
		})
	}
}

func atOnce(t *testing.T, s *natstest.Server, w world, f form) {
	var all sync.WaitGroup
	var did atomic.Int64
	errs := make(chan error, 10)
	for i := range cap(errs) {
		post, err := f.open(t.Context(), s.JetStream(fmt.Sprint("worker-", i)), w, "post", idempotent.Config{Keep: time.Hour})
		require.NoError(t, err)
		all.Go(func() {
			done, err := post(t.Context(), "letter-1", func(to execer) error { did.Add(1); return send(to, "letter-1") })
			if done != (err == nil) && err != nil {
				errs <- err
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		require.ErrorIs(t, err, idempotent.ErrBusy)
	}
	require.EqualValues(t, 1, did.Load())
}

// What is kept is bounded: past Keep, or the window, a message that comes again is
// new.
func TestBound(t *testing.T) {
	for _, f := range []form{onPublish, inTx} {
		t.Run(f.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				w := newWorld(t, 1)
				post, err := f.open(t.Context(), s.JetStream("worker"), w, "post", soon)
				require.NoError(t, err)
				for i := range 25 { // a new one every eleven minutes, and always the first
					for _, id := range []string{"letter-0", fmt.Sprint("letter-", i)} {
						_, err = post(t.Context(), id, sends(id))
						require.NoError(t, err)
					}
					time.Sleep(11 * time.Minute)
				}
				sent := w.sent()
				require.Len(t, sent, 25)
				require.Equal(t, 5, sent["letter-0"], "at 0:00, 1:06, 2:12, 3:18 and 4:24")
				if f.name == inTx.name {
					var records int
					require.NoError(t, w.QueryRow("SELECT COUNT(*) FROM idempotent_done").Scan(&records))
					require.LessOrEqual(t, records, 8, "those of the last hour")
				}
			})
		})
	}
}

// The same of a record in KV, on the real clock: see ages.
func TestBoundKV(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	post, err := inKV.open(t.Context(), natstest.Start(t).JetStream("worker"), w, "post", idempotent.Config{Keep: time.Second, Lease: time.Second})
	require.NoError(t, err)
	_, err = post(t.Context(), "letter-1", sends("letter-1"))
	require.NoError(t, err)
	natstest.Eventually(t, 10*time.Second, func(ctx context.Context) error {
		done, err := post(ctx, "letter-1", sends("letter-1"))
		if err == nil && !done {
			err = fmt.Errorf("it is remembered")
		}
		return err
	})
	require.Equal(t, map[string]int{"letter-1": 2}, w.sent())
}
