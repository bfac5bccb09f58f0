package backoff_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/patterns/backoff"
)

// outcome counts what is amiss.
type outcome struct {
	sent, calls int
	stuck       int // neither done nor given up
	miscounted  int // given up after more calls than counted, or fewer than Tries
	early       int // tries before the shortest wait
	unbudgeted  int // retries that no token paid for
	hammered    int // calls in the outage that the breaker should have stopped
	givenUp     int // of those that would be done once the outage is over
}

func (o *outcome) add(p outcome) {
	o.sent, o.calls, o.stuck, o.miscounted = o.sent+p.sent, o.calls+p.calls, o.stuck+p.stuck, o.miscounted+p.miscounted
	o.early, o.unbudgeted, o.hammered, o.givenUp = o.early+p.early, o.unbudgeted+p.unbudgeted, o.hammered+p.hammered, o.givenUp+p.givenUp
}

// judge compares the calls of all workers with what swept allows.
func judge(t *testing.T, js jetstream.JetStream, banks []*bank, outage span, restarts []time.Duration) (o outcome) {
	var calls []call
	for _, b := range banks {
		mine := b.all()
		calls = append(calls, mine...)
		o.unbudgeted += unbudgeted(mine, swept.Budget)
		o.hammered += hammered(mine, swept, outage)
	}
	o.calls = len(calls)
	slices.SortStableFunc(calls, func(a, b call) int { return int(a.at - b.at) })
	o.early = early(calls, swept.Policy, restarts)
	done, tries := map[string]bool{}, map[string]int{}
	for _, c := range calls {
		done[c.id] = done[c.id] || c.fine
		tries[c.id]++
	}
	for _, id := range numbered(1, 30) {
		o.sent++
		counted, _ := failed(t, js, id)
		if !done[id] && counted == 0 {
			o.stuck++
		}
		if counted > 0 && !done[id] && !hopeless(id) {
			o.givenUp++
		}
		if counted > 0 && (counted != swept.Tries || tries[id] > counted) {
			o.miscounted++
		}
	}
	if _, left := stream(t, js); left > 30 {
		o.stuck += left - 30
	}
	return o
}

// early counts the calls that came sooner after the one before than its policy lets: by
// up to a second, if the server restarted meanwhile, as a consumer is stored with whole
// seconds.
func early(calls []call, p backoff.Policy, restarts []time.Duration) (n int) {
	last := map[string]call{}
	for _, c := range calls {
		before, ok := last[c.id]
		least := p.Least(before.try)
		for _, r := range restarts {
			if before.at <= r && r <= c.at {
				least -= time.Second
			}
		}
		if ok && c.at-before.at < least {
			n++
		}
		last[c.id] = c
	}
	return n
}

// unbudgeted counts the retries of one worker for which there was no token: in any
// stretch of time there are no more than Burst, and those that it earned meanwhile.
func unbudgeted(calls []call, b backoff.Budget) (most int) {
	slices.SortFunc(calls, func(a, b call) int { return int(a.at - b.at) })
	for i, first := range calls {
		retries, earned := 0.0, float64(b.Burst)
		for j := i - 4; j < len(calls); j++ { // a success is earned when it ends, which may be after its neighbours begin
			if j < 0 {
				continue
			}
			if c := calls[j]; c.try > 1 && j >= i {
				retries++
				most = max(most, int(retries-earned-(c.at-first.at).Seconds()/b.Every.Seconds()-0.01))
			}
			if calls[j].fine {
				earned += b.Ratio
			}
		}
	}
	return most
}

// hammered counts the calls of one worker in an outage, beyond those that open its
// breaker, those that were begun by then, and one each time it is open no more.
func hammered(calls []call, cfg backoff.Config, outage span) int {
	n := 0
	for _, c := range calls {
		if c.at >= outage.from && c.at < outage.to {
			n++
		}
	}
	allowed := cfg.Breaker.Failures - 1 + cfg.Hands
	for opened, left := 1, outage.to-outage.from; left > 0; opened++ {
		if left -= cfg.Breaker.Wait.Least(opened); left > 0 {
			allowed++
		}
	}
	return max(n-allowed, 0)
}
