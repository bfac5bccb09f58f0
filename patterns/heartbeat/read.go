package heartbeat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// asksOn is the subject on which a roster is asked for.
func asksOn(cfg Config) string { return "roster." + cfg.Prefix }

// page is how many members one answer holds: with ids and versions of 64 bytes,
// about a tenth of the largest message that a server takes by default.
const page = 500

// answer is one page of the roster.
type answer struct {
	Members []Member `json:"members"`
	More    bool     `json:"more,omitempty"`
}

// Roster returns who is up now, by id. It may be called from any goroutine.
func (m *Monitor) Roster() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all.up()
}

// answer tells the roster to whoever asks, until ctx ends.
func (m *Monitor) answer(ctx context.Context) {
	for {
		msg, err := m.asks.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrSlowConsumer) {
			continue // they will ask again
		}
		if err != nil {
			return // ctx is over, or Run learns it from the beats
		}
		all := m.Roster()
		for more := true; more; {
			n := min(page, len(all))
			more = n < len(all)
			data, err := json.Marshal(answer{all[:n], more})
			if err == nil {
				err = msg.Respond(data)
			}
			if err != nil {
				m.cfg.Log.Warn("roster not told", "err", err)
				break
			}
			all = all[n:]
		}
	}
}

// Read asks a Monitor, in whatever process it runs, who is up now, by id. With no
// Monitor it fails at once with [ErrNoMonitor]. Without a deadline in ctx it waits
// at most 5s.
func Read(ctx context.Context, nc *nats.Conn, cfg Config) ([]Member, error) {
	cfg, err := cfg.normal()
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
	if err != nil {
		return nil, fmt.Errorf("heartbeat: read the roster: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is gone
	err = nc.PublishRequest(asksOn(cfg), inbox, nil)
	var all []Member
	for more := true; more && err == nil; {
		var msg *nats.Msg
		if msg, err = sub.NextMsgWithContext(ctx); err != nil {
			break
		}
		var a answer
		err = json.Unmarshal(msg.Data, &a)
		all, more = append(all, a.Members...), a.More
	}
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, fmt.Errorf("%w on %s", ErrNoMonitor, asksOn(cfg))
	}
	if err != nil {
		return nil, fmt.Errorf("heartbeat: read the roster: %w", err)
	}
	return all, nil
}
