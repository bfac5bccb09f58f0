package heartbeat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// rosterSubject is the subject of requests for the roster.
func rosterSubject(cfg Config) string { return "roster." + cfg.Prefix }

// pageSize is the number of members in one reply. With IDs and versions of 64 bytes
// a reply takes about a tenth of the default max_payload.
const pageSize = 500

// page is one reply to a request for the roster.
type page struct {
	Members []Member `json:"members"`
	More    bool     `json:"more,omitempty"`
}

// Roster returns the instances that are Up, by ID. It is safe for concurrent use.
func (m *Monitor) Roster() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.roster.members()
}

// reply answers requests for the roster until ctx ends.
func (m *Monitor) reply(ctx context.Context) {
	for {
		request, err := m.requests.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrSlowConsumer) {
			continue // the callers time out, and retry
		}
		if err != nil {
			return // ctx has ended, or Run returns the same error
		}
		if err := sendRoster(request, m.Roster()); err != nil {
			m.cfg.Log.Warn("heartbeat: could not send the roster", "err", err)
		}
	}
}

func sendRoster(request *nats.Msg, members []Member) error {
	for more := true; more; {
		n := min(pageSize, len(members))
		more = n < len(members)
		data, err := json.Marshal(page{members[:n], more})
		if err != nil {
			return err
		}
		if err := request.Respond(data); err != nil {
			return err
		}
		members = members[n:]
	}
	return nil
}

// Read requests the instances that are Up, by ID, from a Monitor in any process.
// Without a Monitor it fails at once with [ErrNoMonitor]. If ctx has no deadline, it
// ends after 5 s.
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
	members, err := requestRoster(ctx, nc, rosterSubject(cfg))
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, fmt.Errorf("%w on %s; start one with NewMonitor", ErrNoMonitor, rosterSubject(cfg))
	}
	if err != nil {
		return nil, fmt.Errorf("heartbeat: read the roster: %w", err)
	}
	return members, nil
}

func requestRoster(ctx context.Context, nc *nats.Conn, subject string) (members []Member, err error) {
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only if the connection is closed
	if err := nc.PublishRequest(subject, inbox, nil); err != nil {
		return nil, err
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		var p page
		if err := json.Unmarshal(msg.Data, &p); err != nil {
			return nil, err
		}
		if members = append(members, p.Members...); !p.More {
			return members, nil
		}
	}
}
