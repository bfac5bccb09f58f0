package shared

import (
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// progress sends in-progress for each of its messages three times per AckWait, so
// that the server does not redeliver them while they are handled.
type progress struct {
	log  *slog.Logger
	done chan struct{}
	wg   sync.WaitGroup

	mu   sync.Mutex // guards msgs
	msgs map[jetstream.Msg]struct{}
}

// startProgress starts the goroutine that stop ends.
func startProgress(ackWait time.Duration, log *slog.Logger) *progress {
	p := &progress{log: log, done: make(chan struct{}), msgs: map[jetstream.Msg]struct{}{}}
	p.wg.Go(func() {
		tick := time.NewTicker(ackWait / 3)
		defer tick.Stop()
		for {
			select {
			case <-p.done:
				return
			case <-tick.C:
				p.extend()
			}
		}
	})
	return p
}

func (p *progress) extend() {
	p.mu.Lock()
	msgs := make([]jetstream.Msg, 0, len(p.msgs))
	for msg := range p.msgs {
		msgs = append(msgs, msg)
	}
	p.mu.Unlock()
	for _, msg := range msgs {
		warnIf(p.log, "send in-progress", msg, msg.InProgress())
	}
}

func (p *progress) add(msg jetstream.Msg) {
	p.mu.Lock()
	p.msgs[msg] = struct{}{}
	p.mu.Unlock()
}

func (p *progress) remove(msg jetstream.Msg) {
	p.mu.Lock()
	delete(p.msgs, msg)
	p.mu.Unlock()
}

func (p *progress) stop() {
	close(p.done)
	p.wg.Wait()
}
