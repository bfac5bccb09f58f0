package deadletter_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/deadletter"
)

var histories = flag.Uint64("histories", 4, "fault histories to go through")

const messages, deaths = 20, 7

// a life of a process does its part until stop; crash kills it, if that is its lot.
type life func(sc *scene, js jetstream.JetStream, crash func(point, body string) bool) (stop func(), err error)

// form is a way to store dead letters: its processes, and the payloads that it stored.
type form struct {
	maxDeliver int
	lives      map[string]life
	kept       func(sc *scene) map[string]int
}

// history sends twenty messages, eight of which cannot be handled, while processes
// crash at critical points and are replaced, links are cut and the server restarts. It
// returns what is violations when all is calm; and then, if again, when an operator who
// crashes as well has requeued all letters.
func history(t *testing.T, seed uint64, f form, again bool) (violations []string) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, retentions[seed%3], deadletter.Config{})
		sc.consumer("packing", f.maxDeliver)
		chance := rand.New(rand.NewPCG(seed, 2))
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var mu sync.Mutex // guards what follows, and is held for no time
		var died []string
		alive, doomed := map[string]string{}, map[string]string{}
		points := []string{"effect", "before", "after", "operator before", "operator after", ""}
		bodies := make([]string, messages)
		for i := range bodies {
			bodies[i] = fmt.Sprint([]string{"poison", "fails", "easy", "easy", "easy"}[i%5], "-", i)
			doomed[bodies[i]] = points[chance.IntN(len(points))]
		}
		crashes := func(point, body string) bool {
			mu.Lock()
			defer mu.Unlock()
			hit := point != "" && doomed[body] == point && (len(died) < deaths || strings.HasPrefix(point, "operator"))
			if hit {
				delete(doomed, body)
				died = append(died, body)
			}
			return hit
		}
		for role, live := range f.lives {
			conns := make([]jetstream.JetStream, deaths+1)
			for i := range conns {
				conns[i] = s.JetStream(fmt.Sprint(role, "-", i))
			}
			all.Go(func() {
				for born := 0; ctx.Err() == nil; born++ {
					name, died := fmt.Sprint(role, "-", born), make(chan struct{})
					mu.Lock()
					alive[role] = name
					mu.Unlock()
					var once sync.Once
					end, err := live(sc, conns[born], func(point, body string) bool {
						hit := crashes(point, body)
						if hit {
							s.Link(name).Down()
							once.Do(func() { close(died) })
						}
						return hit
					})
					if err != nil {
						born--
						time.Sleep(500 * time.Millisecond)
						continue
					}
					select {
					case <-died:
					case <-ctx.Done():
					}
					end()
				}
			})
		}
		all.Go(func() {
			for i, body := range bodies {
				for err := errConnectionLost; err != nil && !strings.Contains(err.Error(), "wrong last sequence"); time.Sleep(200 * time.Millisecond) {
					try, done := context.WithTimeout(ctx, time.Second)
					_, err = sc.js.Publish(try, "orders.new", []byte(body), jetstream.WithExpectLastSequence(uint64(i)))
					done()
				}
			}
		})
		who := func(role string) string {
			mu.Lock()
			defer mu.Unlock()
			return cmp.Or(alive[role], "client")
		}
		faults := func(n int) {
			for range n {
				time.Sleep(time.Duration(chance.IntN(1500)) * time.Millisecond)
				switch chance.IntN(4) {
				case 0, 1:
					s.Link(who([]string{"worker", "collector"}[chance.IntN(2)])).Cut()
				case 2:
					s.Link("client").Cut()
				case 3:
					worker := ""
					for f.maxDeliver > 0 && worker != who("worker") { // advisories can be lost: see TestAdvisoryLost
						worker = who("worker")
						s.Link(worker).Down()
						time.Sleep(3 * time.Second) // nothing is in flight, nor waits for a retry
					}
					s.Stop()
					time.Sleep(time.Duration(chance.IntN(2000)) * time.Millisecond)
					require.NoError(t, s.Start())
					if worker != "" {
						s.Link(worker).Up()
					}
				}
			}
		}
		faults(5)
		time.Sleep(90 * time.Second)
		handled, kept := sc.handledBodies(), f.kept(sc)
		for _, body := range bodies {
			h, k := handled[body], kept[body]
			if strings.HasPrefix(body, "easy") != (h > 0) || strings.HasPrefix(body, "easy") != (k == 0) || k > 1 {
				violations = append(violations, fmt.Sprintf("seed %d: %s is handled %d times, and %d times a letter", seed, body, h, k))
			}
		}
		if again && len(violations) == 0 {
			violations = sc.operate(seed, bodies, crashes, func() { faults(1) })
		}
		stop()
		all.Wait()
	})
	return violations
}

// operate is the operator's day: until there are no letters left, they are requeued.
func (s *scene) operate(seed uint64, bodies []string, crashes func(point, body string) bool, faults func()) (violations []string) {
	died := map[string]int{}
	for range 5 {
		for l, err := range s.ch.All(s.t.Context()) {
			if err != nil {
				break // it will be tried again
			}
			body := bodies[l.Sequence-1]
			crash := func(point string, _ *nats.Msg) bool {
				hit := crashes("operator "+point, body)
				if hit {
					died[body]++
				}
				return hit
			}
			ch, err := deadletter.NewChannel(s.t.Context(), flaky{s.js, crash}, "orders", deadletter.Config{})
			if err == nil {
				err = ch.Requeue(s.t.Context(), l.ID, func(msg *nats.Msg) error {
					msg.Subject, msg.Data = "orders.new", []byte("fixed-"+body)
					return nil
				})
			}
			if err != nil {
				s.note("operator: %v", err)
			}
		}
		faults()
		time.Sleep(5 * time.Second)
	}
	time.Sleep(10 * time.Second)
	if left := s.letters(); len(left) > 0 {
		violations = append(violations, fmt.Sprintf("seed %d: letters are left: %v", seed, left))
	}
	handled := s.handledBodies()
	for _, body := range bodies {
		if n := handled["fixed-"+body]; !strings.HasPrefix(body, "easy") && n == 0 {
			violations = append(violations, fmt.Sprintf("seed %d: %s is lost on the way back", seed, body))
		}
	}
	return violations
}

func (s *scene) handledBodies() map[string]int {
	times := map[string]int{}
	for _, note := range s.noted() {
		if _, body, ok := strings.Cut(note, " handles "); ok {
			times[body]++
		}
	}
	return times
}

// letterBodies counts the letters of each message that was sent.
func letterBodies(sc *scene) map[string]int {
	kept := map[string]int{}
	for l, err := range sc.ch.All(sc.t.Context()) {
		require.NoError(sc.t, err)
		i := int(l.Sequence - 1)
		kept[fmt.Sprint([]string{"poison", "fails", "easy", "easy", "easy"}[i%5], "-", i)]++
	}
	return kept
}
