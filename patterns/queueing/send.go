package queueing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	ackTimeout = 5 * time.Second
	maxUnacked = 100 // jobs that SendAll publishes ahead of the first one without an ack
)

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
		err = cmp.Or(permissionError(js.Conn(), queue, before), err)
	}
	if err != nil {
		return nil, sendError(id, err)
	}
	return ack, nil
}

// Job is a job for [SendAll]. Msg.Subject is ignored.
type Job struct {
	ID  string
	Msg *nats.Msg
}

// SendAll publishes jobs as Send does, but it does not wait for the ack of one job
// before it publishes the next. It returns the jobs that the stream did not confirm, and
// an error that names each of them. They may or may not be stored: send them again with
// the same IDs. An invalid job and one that the stream refuses do not affect the others.
// After another error, such as a timeout or a disconnect, no more jobs are published.
func SendAll(ctx context.Context, js jetstream.JetStream, queue string, jobs ...Job) (unconfirmed []Job, err error) {
	async, err := jetstream.New(js.Conn(), jetstream.WithPublishAsyncTimeout(ackTimeout))
	if err != nil {
		return jobs, fmt.Errorf("queueing: send: %w", err)
	}
	defer async.CleanupPublisher()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	before := js.Conn().LastError()
	acks, errs := make([]jetstream.PubAckFuture, len(jobs)), make([]error, len(jobs))
	for i := range len(jobs) + maxUnacked {
		if i == maxUnacked {
			flush, done := context.WithTimeout(ctx, ackTimeout)
			_ = js.Conn().FlushWithContext(flush) // after it a permission violation has arrived
			done()
			if err := permissionError(js.Conn(), queue, before); err != nil {
				stop(err)
			}
		}
		if first := i - maxUnacked; first >= 0 && acks[first] != nil {
			errs[first] = awaitAck(ctx, acks[first])
			if errs[first] != nil && apiCode(errs[first]) == 0 { // the stream has not refused just this job
				stop(errs[first])
			}
		}
		if i < len(jobs) {
			acks[i], errs[i] = publishAsync(ctx, async, queue, jobs[i])
		}
	}
	var named []error
	for i, err := range errs {
		if err != nil {
			unconfirmed, named = append(unconfirmed, jobs[i]), append(named, sendError(jobs[i].ID, err))
		}
	}
	return unconfirmed, errors.Join(named...)
}

func publishAsync(ctx context.Context, async jetstream.JetStream, queue string, job Job) (jetstream.PubAckFuture, error) {
	msg, err := newJob("jobs", queue, job.ID, job.Msg, async.Conn().MaxPayload())
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("not published: %w", context.Cause(ctx))
	}
	return async.PublishMsgAsync(msg, jetstream.WithMsgID(job.ID))
}

// awaitAck returns nil if the ack arrives before ctx ends.
func awaitAck(ctx context.Context, ack jetstream.PubAckFuture) error {
	select {
	case <-ack.Ok():
		return nil
	case err := <-ack.Err():
		return err
	case <-ctx.Done():
	}
	select {
	case <-ack.Ok(): // it was there before
		return nil
	default:
		return context.Cause(ctx)
	}
}

func sendError(id string, err error) error {
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = fmt.Errorf("%w: there is no queue; call Provision, or NewWorker first", err)
	}
	return fmt.Errorf("queueing: send %.80q: %w", id, err)
}

// permissionError returns the permission violation that the server has reported for a
// job of queue since before, which was the last error of nc.
func permissionError(nc *nats.Conn, queue string, before error) error {
	err := nc.LastError()
	if err == before || !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `"jobs.`+queue+`.`) {
		return nil
	}
	return err
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
	_, err := lastMsg(ctx, js, "JOBS_"+queue, "jobs."+queue+"."+id)
	if err == nil {
		return Outcome{State: Waiting}, nil
	}
	if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return Outcome{}, fmt.Errorf("queueing: check %s: %w", id, err)
	}
	msg, err := lastMsg(ctx, js, "FAILED_"+queue, "failed."+queue+"."+id)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Outcome{State: Done}, nil
	}
	if err != nil {
		return Outcome{}, fmt.Errorf("queueing: check %s: %w", id, err)
	}
	deliveries, _ := strconv.Atoi(msg.Header.Get(HeaderDeliveries)) // 0 if it is not from a Worker
	return Outcome{State: Failed, Reason: msg.Header.Get(HeaderReason), Deliveries: deliveries}, nil
}

func lastMsg(ctx context.Context, js jetstream.JetStream, stream, subject string) (*jetstream.RawStreamMsg, error) {
	s, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, stream) })
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", stream, err)
	}
	return callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.GetLastMsgForSubject(ctx, subject)
	})
}
