package controlplane

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Command is something to do once, now, by whoever is there.
type Command struct {
	ID         string `json:"id"`                   // names this command: an agent that hears it again answers again, and does not do it again
	Name       string `json:"name"`                 // imperative, such as "flush-cache"
	Args       string `json:"args,omitempty"`       //
	Generation uint64 `json:"generation,omitempty"` // refused by an agent that has seen a later one; any if zero
}

// Target is who a command is for: one instance, all of a Service if Instance is
// empty, or all there are if both are.
type Target struct{ Service, Instance string }

// Answer is what one agent did with a command.
type Answer struct {
	Service  string `json:"service"`
	Instance string `json:"instance"`
	Text     string `json:"text,omitempty"`
	Refused  string `json:"refused,omitempty"` // why it did not do it
}

func tellOne(cfg Config, service, instance string) string {
	return cfg.Bucket + ".one." + service + "." + instance
}
func tellGroup(cfg Config, service string) string { return cfg.Bucket + ".group." + service }
func tellAll(cfg Config) string                   { return cfg.Bucket + ".all" }

// Tell sends a command and returns the answers: of one instance as soon as it
// answers, of many when none has come for stall (300ms if zero), or ctx ends.
// Without a deadline in ctx it waits at most 5s. With nobody there it fails at once
// with [ErrNobody].
func Tell(ctx context.Context, nc *nats.Conn, to Target, c Command, stall time.Duration, cfg Config) ([]Answer, error) {
	cfg, err := cfg.normal()
	subject := tellAll(cfg)
	switch {
	case err != nil:
		return nil, err
	case to.Service == "" && to.Instance != "":
		err = fmt.Errorf("%w: the target %s has no Service", ErrConfig, to.Instance)
	case to.Service != "":
		subject = tellGroup(cfg, to.Service)
		if _, err = keyOf("", to.Service, to.Instance); to.Instance != "" {
			subject = tellOne(cfg, to.Service, to.Instance)
		}
	}
	if err == nil {
		err = errors.Join(checkID(c.ID), checkID(c.Name))
	}
	if err != nil {
		return nil, err
	}
	data, err := encode(c)
	if err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
	}
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err == nil {
		defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is gone
		err = nc.PublishRequest(subject, inbox, data)
	}
	if err != nil {
		return nil, fmt.Errorf("controlplane: tell %s: %w", c.Name, err)
	}
	return collect(ctx, sub, c, to.Instance != "", cmp.Or(stall, 300*time.Millisecond))
}

func collect(ctx context.Context, sub *nats.Subscription, c Command, one bool, stall time.Duration) ([]Answer, error) {
	var all []Answer
	for {
		wait, cancel := ctx, context.CancelFunc(func() {})
		if len(all) > 0 {
			wait, cancel = context.WithTimeout(ctx, stall)
		}
		msg, err := sub.NextMsgWithContext(wait)
		cancel()
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return nil, fmt.Errorf("%w: to %s", ErrNobody, c.Name)
		case err != nil && len(all) > 0 && errors.Is(err, context.DeadlineExceeded):
			return all, nil
		case err != nil:
			return all, fmt.Errorf("controlplane: tell %s: %w", c.Name, err)
		}
		var answer Answer
		if err := json.Unmarshal(msg.Data, &answer); err != nil {
			return all, fmt.Errorf("controlplane: an answer to %s: %w", c.Name, err)
		}
		if all = append(all, answer); one {
			return all, nil
		}
	}
}

// remembered is how many commands an agent keeps the answers of.
const remembered = 256

// obey carries out commands one after the other, until ctx ends.
func (a *Agent) obey(ctx, work context.Context, do func(context.Context, Command) (string, error)) {
	answers, order := map[string]Answer{}, []string{}
	for {
		var msg *nats.Msg
		select {
		case msg = <-a.inbox:
		case <-ctx.Done():
			return
		case <-work.Done():
			return
		}
		var c Command
		var answer Answer
		err := json.Unmarshal(msg.Data, &c)
		if err == nil {
			err = errors.Join(checkID(c.ID), checkID(c.Name))
		}
		again := false
		if err == nil {
			answer, again = answers[c.ID]
		}
		if !again {
			answer = a.answer(work, c, err, do)
			if err == nil {
				answers[c.ID] = answer
				if order = append(order, c.ID); len(order) > remembered {
					delete(answers, order[0])
					order = order[1:]
				}
			}
		}
		data, err := encode(answer)
		if err == nil && msg.Reply != "" {
			err = msg.Respond(data)
		}
		if err != nil {
			a.cfg.Log.Error("command not answered", "command", c.Name, "err", err)
		}
	}
}

// answer does c, unless err or something else is against it.
func (a *Agent) answer(work context.Context, c Command, err error, do func(context.Context, Command) (string, error)) Answer {
	is := a.now()
	answer := Answer{Service: is.Service, Instance: is.Instance}
	switch {
	case err != nil:
		answer.Refused = "not understood: " + err.Error()
	case c.Generation > 0 && c.Generation < is.Generation:
		answer.Refused = fmt.Sprintf("stale: for generation %d, and this is %d", c.Generation, is.Generation)
	case do == nil:
		answer.Refused = "takes no commands"
	default:
		if err = a.safely(func() (err error) { answer.Text, err = do(work, c); return err }); err != nil {
			answer.Text, answer.Refused = "", err.Error()
		}
	}
	return answer
}
