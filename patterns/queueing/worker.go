package queueing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Worker is one worker of a work queue.
type Worker struct {
	cfg   Config
	queue string
	js    jetstream.JetStream
	cons  jetstream.Consumer
	ran   atomic.Bool
	ready chan *held
	room  chan struct{} // holds one when a job has been put down

	mu   sync.Mutex       // guards what follows
	hand map[uint64]*held // by sequence in the stream
	over bool             // handed back; no more is taken
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
	cons, err := setup(ctx, js, queue, cfg)
	if err != nil {
		return nil, fmt.Errorf("queueing: queue %s: %w", queue, err)
	}
	return &Worker{cfg: cfg, queue: queue, js: js, cons: cons, ready: make(chan *held, cfg.InHand+cfg.Ahead),
		room: make(chan struct{}, 1), hand: map[uint64]*held{}}, nil
}

// Run calls handle for each job, cfg.InHand at a time. When ctx ends it takes no
// more, finishes what it has been given, hands back after cfg.Grace what is not
// finished, and returns nil once the handlers have returned; before that, it
// returns only if it can no longer take jobs.
func (w *Worker) Run(ctx context.Context, handle Handler) error {
	if handle == nil {
		return fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	if w.ran.Swap(true) {
		return ErrTwice
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(w.cfg.Grace, func() { w.handBack(); cancel() }) // in this order, or a late answer could still settle a job
	})()
	var hands, extender sync.WaitGroup
	for range w.cfg.InHand {
		hands.Go(func() {
			for h := range w.ready {
				w.do(work, h, handle)
			}
		})
	}
	done := make(chan struct{})
	extender.Go(func() { w.extend(done) })
	err := w.take(ctx)
	close(w.ready) // nothing is put after the end of the last batch
	hands.Wait()
	close(done)
	extender.Wait()
	if err != nil {
		return fmt.Errorf("queueing: queue %s: %w", w.queue, err)
	}
	flush, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer stop()
	if err := w.js.Conn().FlushWithContext(flush); err != nil {
		w.cfg.Log.Warn("queueing: the last acks may be lost; their jobs will be done again", "queue", w.queue, "err", err)
	}
	return nil
}

// take fetches as many jobs as there is room for, again and again. Fetching by
// count, into a channel of its own, keeps every delivered job where extend sees
// it: in the buffer of an open-ended Consume its deadline would pass unseen.
func (w *Worker) take(ctx context.Context) error {
	for {
		n := w.free()
		for ; n <= w.cfg.Ahead/2 && ctx.Err() == nil; n = w.free() {
			select {
			case <-w.room:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		errs := make(chan error, 1)
		batch, err := w.cons.Consume(w.put,
			jetstream.StopAfter(n), jetstream.PullMaxMessages(n), jetstream.PullHeartbeat(5*time.Second),
			jetstream.PullPriorityGroup(group), jetstream.PullPrioritized(w.cfg.Priority),
			jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
				select {
				case errs <- err:
				default: // one is enough to have a look
				}
			}))
		if err != nil {
			return err
		}
		if err := w.watch(ctx, batch, errs); err != nil {
			batch.Stop()
			<-batch.Closed()
			return err
		}
	}
}

// watch waits for the end of a batch. It returns an error if there is nothing left
// to take jobs from: most errors are an outage, which ends, but a consumer that is
// deleted does not come back, and we are not always told.
func (w *Worker) watch(ctx context.Context, batch jetstream.ConsumeContext, errs <-chan error) error {
	closed, stop := batch.Closed(), ctx.Done()
	for {
		select {
		case <-closed:
			closed = nil // an error may have been the cause
			if len(errs) == 0 {
				return nil
			}
		case <-stop:
			stop = nil
			if w.js.Conn().IsConnected() {
				batch.Drain() // what is on its way here is finished, not lost
			} else {
				batch.Stop() // nothing is, and a drain would wait for the server
			}
		case err := <-errs:
			if errors.Is(err, jetstream.ErrConnectionClosed) || errors.Is(err, jetstream.ErrConsumerDeleted) {
				return err
			}
			_, gone := callAPI(ctx, w.cons.Info)
			if errors.Is(gone, jetstream.ErrConsumerNotFound) || errors.Is(gone, jetstream.ErrStreamNotFound) {
				return gone
			}
			w.cfg.Log.Debug("queueing: no jobs for now", "queue", w.queue, "err", err)
			if closed == nil {
				return nil
			}
		}
	}
}
