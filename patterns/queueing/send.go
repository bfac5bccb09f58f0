package queueing

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Send stores the job id in the work queue, on jobs.<queue>.<id>; the Subject of
// msg is not used. An id names one job: sent again within two minutes, as it
// should be after an error, which leaves open whether the job is stored, it is
// stored once.
func Send(ctx context.Context, js jetstream.JetStream, queue, id string, msg *nats.Msg) (*jetstream.PubAck, error) {
	if err := checkID(queue); err != nil {
		return nil, err
	}
	m, err := job("jobs", queue, id, msg, js.Conn().MaxPayload())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var ack *jetstream.PubAck
	if err = ctx.Err(); err == nil {
		ack, err = js.PublishMsg(ctx, m, jetstream.WithMsgID(id))
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = fmt.Errorf("%w: there is no queue; call Provision, or NewWorker first", err)
	}
	if err != nil {
		return nil, fmt.Errorf("queueing: send %s: %w", id, err)
	}
	return ack, nil
}

// State is where a job stands.
type State string

const (
	Waiting State = "waiting" // in the queue, in a worker's hand, or between two tries
	Failed  State = "failed"  // given up, and kept for Config.Keep
	Done    State = "done"    // neither: a job never sent is not told from one that was done
)

// Outcome is what has become of a job.
type Outcome struct {
	State  State
	Reason string // of Failed: the error of the last try
	Tries  int    // of Failed: how often it was delivered
}

// Headers of a failed job, beside those it was sent with.
const (
	HeaderReason    = "Queue-Reason"    // the error of the last try
	HeaderTries     = "Queue-Tries"     // how often it was delivered
	HeaderTruncated = "Queue-Truncated" // "true": payload and headers left no room for these, and are not kept
)

// Check tells what has become of the job id. A failure is stored before the job
// leaves the queue, so a failed job is never taken for one done: a job that a Worker
// has just settled may still be called Waiting, for a moment. The failure is also kept
// when the job is sent again and done: try a failed job again under a new id.
func Check(ctx context.Context, js jetstream.JetStream, queue, id string) (Outcome, error) {
	for _, token := range []string{queue, id} {
		if err := checkID(token); err != nil {
			return Outcome{}, err
		}
	}
	_, err := last(ctx, js, "JOBS_"+queue, "jobs."+queue+"."+id)
	if err == nil {
		return Outcome{State: Waiting}, nil
	}
	var msg *jetstream.RawStreamMsg
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		msg, err = last(ctx, js, "FAILED_"+queue, "failed."+queue+"."+id)
	}
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return Outcome{State: Done}, nil
	case err != nil:
		return Outcome{}, fmt.Errorf("queueing: check %s: %w", id, err)
	}
	tries, err := strconv.Atoi(msg.Header.Get(HeaderTries))
	if err != nil {
		return Outcome{}, fmt.Errorf("queueing: check %s: %s is not from a Worker: %w", id, msg.Subject, err)
	}
	return Outcome{State: Failed, Reason: msg.Header.Get(HeaderReason), Tries: tries}, nil
}

func last(ctx context.Context, js jetstream.JetStream, stream, subject string) (*jetstream.RawStreamMsg, error) {
	s, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, stream) })
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", stream, err)
	}
	return callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.GetLastMsgForSubject(ctx, subject)
	})
}
