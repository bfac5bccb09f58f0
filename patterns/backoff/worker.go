package backoff

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Worker is one worker of a queue.
type Worker struct {
	cfg    Config
	queue  string
	js     jetstream.JetStream
	stream jetstream.Stream
	cons   jetstream.Consumer
	gate   gate
	ran    atomic.Bool
	free   chan struct{} // one for each hand that is
	ready  chan jetstream.Msg
}

// NewWorker finds or creates the queue. The context bounds this call only.
func NewWorker(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) (*Worker, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(queue)
	}
	if err != nil {
		return nil, err
	}
	w := &Worker{cfg: cfg, queue: queue, js: js, free: make(chan struct{}, cfg.Hands), ready: make(chan jetstream.Msg, cfg.Hands),
		gate: gate{policy: cfg.Policy, budget: cfg.Budget, breaker: cfg.Breaker}}
	if w.stream, w.cons, err = setup(ctx, js, queue, cfg); err != nil {
		return nil, fmt.Errorf("backoff: worker of %s: %w", queue, err)
	}
	return w, nil
}

// Run calls handle for each message, cfg.Hands at a time. When ctx ends it takes no
// more, puts back what had not been begun, and returns nil once the tries that had
// been are over, within cfg.Timeout; before that, it returns only why it cannot go on.
func (w *Worker) Run(ctx context.Context, handle Handler) error {
	if handle == nil {
		return fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	if w.ran.Swap(true) {
		return ErrTwice
	}
	var hands sync.WaitGroup
	for range w.cfg.Hands {
		w.free <- struct{}{}
		hands.Go(func() {
			for msg := range w.ready {
				w.do(ctx, msg, handle)
				w.free <- struct{}{}
			}
		})
	}
	var err error
	for err == nil && ctx.Err() == nil {
		if n := w.room(ctx); n > 0 {
			err = w.take(ctx, n)
		}
	}
	close(w.ready)
	hands.Wait()
	if err != nil {
		return fmt.Errorf("backoff: worker of %s: %w", w.queue, err)
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = w.js.Conn().FlushWithContext(flush) // what is lost is tried again
	return nil
}

// room waits until there is a free hand that the breaker has a use for, and takes it,
// with all others that are free: as many as there are messages to ask for.
func (w *Worker) room(ctx context.Context) (n int) {
	for {
		most, wait := w.gate.room(time.Now(), w.cfg.Hands)
		if most == 0 {
			select {
			case <-ctx.Done():
				return 0
			case <-time.After(wait):
				continue
			}
		}
		select {
		case <-ctx.Done():
			return 0
		case <-w.free:
		}
		if now, _ := w.gate.room(time.Now(), w.cfg.Hands); now < most { // it changed while we waited
			w.free <- struct{}{}
			continue
		}
		for n = 1; n < most; n++ {
			select {
			case <-w.free:
			default:
				return n
			}
		}
		return n
	}
}

// take asks for n messages, and gives them to as many hands: none waits in a buffer
// here, with its time running.
func (w *Worker) take(ctx context.Context, n int) error {
	batch, err := w.cons.Fetch(n, jetstream.FetchMaxWait(time.Second/2))
	if err == nil {
		for msg := range batch.Messages() {
			w.ready <- msg
			n--
		}
		err = batch.Error()
	}
	for range n {
		w.free <- struct{}{}
	}
	if err == nil || ctx.Err() != nil {
		return nil
	}
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jetstream.ErrConsumerDeleted) {
		return err
	}
	_, gone := callAPI(ctx, w.cons.Info)
	if errors.Is(gone, jetstream.ErrConsumerNotFound) || errors.Is(gone, jetstream.ErrStreamNotFound) || errors.Is(gone, nats.ErrConnectionClosed) {
		return gone
	}
	w.cfg.Log.Debug("backoff: no messages for now", "queue", w.queue, "err", err)
	select {
	case <-ctx.Done():
	case <-time.After(moment):
	}
	return nil
}
