package queueing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const ackTimeout = 5 * time.Second

// Send publishes a job to the work queue, on jobs.<queue>.<id>; msg.Subject is
// ignored. It returns when the stream has stored the job. After an error the job may
// or may not be stored: call Send again with the same ID. The stream stores an ID
// once in 2 minutes.
func Send(ctx context.Context, js jetstream.JetStream, queue, id string, msg *nats.Msg) (*jetstream.PubAck, error) {
	job, err := newJob("jobs", queue, id, msg, js.Conn().MaxPayload())
	if err = cmp.Or(err, ctx.Err()); err != nil {
		return nil, sendError(id, err)
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	before := js.Conn().LastError()
	ack, err := js.PublishMsg(ctx, job, jetstream.WithMsgID(id))
	if errors.Is(err, context.DeadlineExceeded) {
		err = cmp.Or(permissionError(js.Conn(), before, "jobs."+queue+"."), err)
	}
	if err != nil {
		return nil, sendError(id, err)
	}
	return ack, nil
}

func sendError(id string, err error) error {
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = fmt.Errorf("%w: there is no queue; call Provision, or NewWorker first", err)
	}
	return fmt.Errorf("queueing: send %.80q: %w", id, err)
}

// State is the state of a job.
type State string

const (
	Waiting State = "waiting" // in the stream: not yet delivered, in flight, or in backoff
	Failed  State = "failed"  // in FAILED_<queue>, for Config.MaxAge
	Done    State = "done"    // in neither stream; also the state of an ID that was never sent
)

// Outcome is the result of Check.
type Outcome struct {
	State      State
	Reason     string // of Failed: the error of the last attempt
	Deliveries int    // of Failed: the number of delivery attempts
}

// Headers of a failed job, in addition to the headers of the job.
const (
	HeaderReason     = "Queue-Reason"     // the error of the last attempt
	HeaderDeliveries = "Queue-Deliveries" // the number of delivery attempts
	HeaderTruncated  = "Queue-Truncated"  // "true": the job did not fit with these headers; its payload and its own headers were dropped
)

// Check returns the state of a job. A worker stores a failed job before it removes it
// from the queue, so a failed job is never reported as Done. A job that was just
// acknowledged can be reported as Waiting for a moment. Send a failed job again under
// a new ID: its old ID stays Failed for Config.MaxAge.
func Check(ctx context.Context, js jetstream.JetStream, queue, id string) (Outcome, error) {
	if err := cmp.Or(checkID(queue), checkID(id)); err != nil {
		return Outcome{}, err
	}
	job, err := lastStored(ctx, js, "JOBS_"+queue, "jobs."+queue+"."+id)
	if err == nil && job != nil {
		return Outcome{State: Waiting}, nil
	}
	if err == nil {
		job, err = lastStored(ctx, js, "FAILED_"+queue, "failed."+queue+"."+id)
	}
	if err != nil {
		return Outcome{}, fmt.Errorf("queueing: check %s of %s: %w", id, queue, err)
	}
	if job == nil {
		return Outcome{State: Done}, nil
	}
	deliveries, _ := strconv.Atoi(job.Header.Get(HeaderDeliveries)) // 0 if it is not from a Worker
	return Outcome{State: Failed, Reason: job.Header.Get(HeaderReason), Deliveries: deliveries}, nil
}

func lastStored(ctx context.Context, js jetstream.JetStream, stream, subject string) (*jetstream.RawStreamMsg, error) {
	return callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return lastMessage(ctx, js, stream, subject)
	})
}
