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

const maxUnacked = 100 // jobs that SendAll publishes before it waits for an ack

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
	nc, before, acks, inbox := js.Conn(), js.Conn().LastError(), make(chan *nats.Msg, maxUnacked), js.Conn().NewInbox()
	sub, err := nc.ChanSubscribe(inbox+".*", acks)
	defer func() { _ = sub.Unsubscribe() }() // fails only if there is no subscription
	b := batch{nc: nc, queue: queue, inbox: inbox, acks: acks, unacked: map[string]int{}, errs: make([]error, len(jobs)), stopped: err}
	for i, job := range jobs {
		b.errs[i] = b.publish(ctx, i, job)
	}
	for len(b.unacked) > 0 && b.stopped == nil {
		b.awaitAck(ctx)
	}
	for _, i := range b.unacked {
		b.errs[i] = cmp.Or(permissionError(nc, before, "jobs."+queue+"."), b.stopped)
	}
	var named []error
	for i, err := range b.errs {
		if err != nil {
			unconfirmed, named = append(unconfirmed, jobs[i]), append(named, sendError(jobs[i].ID, err))
		}
	}
	return unconfirmed, errors.Join(named...)
}

// batch is the jobs of one SendAll.
type batch struct {
	nc           *nats.Conn
	queue, inbox string
	acks         chan *nats.Msg
	unacked      map[string]int // reply subject: index of the job
	errs         []error        // of the jobs; nil if confirmed
	stopped      error          // why no more jobs are published
}

// publish waits until a reply subject is free, and publishes a job. A reply subject is
// used again, because the server finds it faster then.
func (b *batch) publish(ctx context.Context, i int, job Job) error {
	reply := b.inbox + "." + strconv.Itoa(i%maxUnacked)
	for _, used := b.unacked[reply]; used && b.stopped == nil; _, used = b.unacked[reply] {
		b.awaitAck(ctx)
	}
	msg, err := newJob("jobs", b.queue, job.ID, job.Msg, b.nc.MaxPayload())
	if b.stopped = cmp.Or(b.stopped, ctx.Err()); err == nil && b.stopped != nil {
		err = fmt.Errorf("not published: %w", b.stopped)
	}
	if err != nil {
		return err
	}
	msg.Reply = reply
	msg.Header.Set(jetstream.MsgIDHeader, job.ID)
	if err = b.nc.PublishMsg(msg); err == nil {
		b.unacked[reply] = i
	}
	return err
}

// awaitAck waits for an ack, and stops the batch if none arrives.
func (b *batch) awaitAck(ctx context.Context) {
	select {
	case ack := <-b.acks:
		for b.resolve(ack); len(b.acks) > 0; {
			b.resolve(<-b.acks)
		}
	case <-time.After(ackTimeout):
		b.stopped = nats.ErrTimeout
	case <-ctx.Done():
		b.stopped = ctx.Err()
	}
}

// resolve records the result of the job that the ack is for. An error that is not from
// the stream is not of this job alone: it stops the batch.
func (b *batch) resolve(ack *nats.Msg) {
	i, ok := b.unacked[ack.Subject]
	if !ok {
		return
	}
	delete(b.unacked, ack.Subject)
	seq, err := ackSequence(ack, nil)
	if err == nil && seq == 0 {
		err = jetstream.ErrNoStreamResponse
	}
	if b.errs[i] = err; apiCode(err) == 0 {
		b.stopped = cmp.Or(b.stopped, err)
	}
}
