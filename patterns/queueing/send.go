package queueing

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	ackTimeout = 5 * time.Second
	maxUnacked = 100 // jobs that SendAll publishes before it waits for an ack
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

// Job is a job for [SendAll]. Msg.Subject is ignored.
type Job struct {
	ID  string
	Msg *nats.Msg
}

// SendAll publishes jobs as Send does, but does not wait for each ack before it publishes
// the next job. It returns the jobs that the stream did not confirm, and an error that
// names each of them. They may or may not be stored: send them again with the same IDs.
// An invalid job, and one that the stream refuses, do not affect the others. If no ack
// arrives for 5 s, or there is no stream, SendAll publishes no more jobs.
func SendAll(ctx context.Context, js jetstream.JetStream, queue string, jobs ...Job) (unconfirmed []Job, err error) {
	nc, before := js.Conn(), js.Conn().LastError()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	acks, inbox := make(chan *nats.Msg, maxUnacked), nc.NewInbox()
	sub, err := nc.ChanSubscribe(inbox+".*", acks)
	if err != nil {
		stop(err)
	}
	defer func() { _ = sub.Unsubscribe() }()                    // fails only if there is no subscription
	errs, waiting := make([]error, len(jobs)), map[string]int{} // reply subject: index of the job
	resolve := func(ack *nats.Msg) {
		i, ok := waiting[ack.Subject]
		if !ok {
			return
		}
		delete(waiting, ack.Subject)
		errs[i] = ackError(ack)
		if errs[i] != nil && apiCode(errs[i]) == 0 { // the stream has not refused just this job
			stop(errs[i])
		}
	}
	await := func() {
		select {
		case ack := <-acks:
			for resolve(ack); len(acks) > 0; {
				resolve(<-acks)
			}
		case <-time.After(ackTimeout):
			stop(cmp.Or(permissionError(nc, before, "jobs."+queue+"."), nats.ErrTimeout))
		case <-ctx.Done():
		}
	}
	for i, job := range jobs {
		// A reply subject is used again, because the server finds it faster then.
		reply := inbox + "." + strconv.Itoa(i%maxUnacked)
		for _, used := waiting[reply]; used && ctx.Err() == nil; _, used = waiting[reply] {
			await()
		}
		msg, err := newJob("jobs", queue, job.ID, job.Msg, nc.MaxPayload())
		if err == nil && ctx.Err() != nil {
			err = fmt.Errorf("not published: %w", context.Cause(ctx))
		}
		if err != nil {
			errs[i] = err
			continue
		}
		msg.Reply = reply
		msg.Header.Set(jetstream.MsgIDHeader, job.ID)
		if errs[i] = nc.PublishMsg(msg); errs[i] == nil {
			waiting[reply] = i
		}
	}
	for len(waiting) > 0 && ctx.Err() == nil {
		await()
	}
	for _, i := range waiting {
		errs[i] = context.Cause(ctx)
	}
	var named []error
	for i, err := range errs {
		if err != nil {
			unconfirmed, named = append(unconfirmed, jobs[i]), append(named, sendError(jobs[i].ID, err))
		}
	}
	return unconfirmed, errors.Join(named...)
}

// ackError returns the error in the reply to a publish.
func ackError(reply *nats.Msg) error {
	var ack struct {
		Seq   uint64
		Error *jetstream.APIError
	}
	switch err := json.Unmarshal(reply.Data, &ack); {
	case len(reply.Data) == 0:
		return jetstream.ErrNoStreamResponse
	case err != nil || ack.Seq == 0 && ack.Error == nil: // not from JetStream
		return jetstream.ErrInvalidJSAck
	case ack.Error != nil:
		return ack.Error
	}
	return nil
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
