package schedule_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

// inProcess is a mutant: a timer in the process, which is lost in a crash.
type inProcess struct {
	js     jetstream.JetStream
	mu     sync.Mutex
	timers map[string]*time.Timer
}

func (p *inProcess) at(_ context.Context, id string, at time.Time, text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.timers[id]; t != nil {
		t.Stop()
	}
	p.timers[id] = time.AfterFunc(time.Until(at), func() { _, _ = p.js.Publish(context.Background(), "schedule.shop."+id+".due", []byte(text)) })
	return nil
}

func (p *inProcess) cancel(_ context.Context, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.timers[id]; t != nil {
		t.Stop()
	}
	return nil
}

func (p *inProcess) crash() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.timers {
		t.Stop()
	}
	clear(p.timers)
}

// plain is a mutant: it publishes without a condition, on one subject for each ID, and
// purges the subject to cancel.
type plain struct{ js jetstream.JetStream }

func (p plain) at(ctx context.Context, id string, at time.Time, text string) error {
	_, err := p.js.PublishMsg(ctx, &nats.Msg{Subject: "schedule.shop." + id + ".plan.0", Header: nats.Header{}, Data: []byte(text)},
		jetstream.WithScheduleAt(at), jetstream.WithScheduleTarget("schedule.shop."+id+".due"))
	return err
}

func (p plain) cancel(ctx context.Context, id string) error {
	stream, err := p.js.Stream(ctx, "SCHEDULE_shop")
	if err != nil {
		return err
	}
	return stream.Purge(ctx, jetstream.WithPurgeSubject("schedule.shop."+id+".plan.0"))
}

func (p plain) crash() {}

// TestSweep finds the bugs of these mutants.
func TestMutants(t *testing.T) {
	for name, tc := range map[string]struct {
		planner func(t *testing.T, s *natstest.Server, client string) planner
		wrong   []string
	}{
		"a timer in the process": {func(t *testing.T, s *natstest.Server, client string) planner {
			return &inProcess{js: s.JetStream(client), timers: map[string]*time.Timer{}}
		}, []string{"lost"}},
		"a schedule without a condition": {func(t *testing.T, s *natstest.Server, client string) planner { return plain{s.JetStream(client)} },
			[]string{"due early"}},
	} {
		t.Run(name, func(t *testing.T) {
			found, counts, all := 0, map[string]int{}, (*histories+1)/2
			for seed := range all {
				violations := history(t, seed, tc.planner)
				for _, a := range violations {
					kind, _, _ := strings.Cut(a, ":")
					counts[kind]++
				}
				found += min(1, len(violations))
			}
			t.Logf("violations in %d of %d histories: %v", found, all, counts)
			for _, kind := range tc.wrong {
				require.Positive(t, counts[kind], kind)
			}
		})
	}
}
