package streaming

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ServeHTTP serves one browser until it leaves or is cut. It comes with
// Last-Event-ID, when it has been here before, and is told what is stored after that,
// then what comes.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	subject, code, reason := s.admit(w, r)
	if code == 0 && s.life.Err() != nil {
		panic(http.ErrAbortHandler) // an answer would tell a browser never to come back
	}
	after, known, err := lastID(r)
	if err != nil && code == 0 {
		code, reason = http.StatusBadRequest, err.Error()
	}
	if code != 0 {
		http.Error(w, reason, code)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy that gathers would delay
	out := &outlet{w: w, rc: http.NewResponseController(w), patience: s.cfg.Patience}
	again := s.cfg.Retry + rand.N(s.cfg.Retry) // or all that were cut at once would come back at once
	if err := out.send(fmt.Appendf(nil, "retry: %d\n\n", again.Milliseconds()), false); err != nil {
		s.cfg.Log.Warn("streaming: this connection cannot carry events", "err", err)
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default: // a browser comes back from an end, but never from an error
		s.cfg.Log.Warn("streaming: there is no room for another client", "clients", s.cfg.Clients)
		return
	}
	if err := s.serve(r.Context(), out, subject, after, known || s.cfg.FromStart); err != nil && r.Context().Err() == nil {
		s.cfg.Log.Debug("streaming: a client is let go and will come back", "subject", subject, "err", err)
	}
}

// serve brings the client to where the others are, and then along with them. The
// long part of the way it reads alone, not yet a client whose buffer could overflow.
func (s *Server) serve(ctx context.Context, out *outlet, subject string, pos uint64, behind bool) (err error) {
	if behind {
		if pos, err = s.catchUp(ctx, out, subject, pos, s.told()); err != nil {
			return err
		}
	}
	c, joined := s.join(subject)
	defer s.leave(c)
	if behind {
		pos, err = s.catchUp(ctx, out, subject, pos, joined)
	} else { // a browser that is cut before the first event also knows where it was
		pos = joined
		err = out.send(fmt.Appendf(nil, "id: %d\n\n", pos), true)
	}
	alive := time.NewTicker(s.cfg.KeepAlive)
	defer alive.Stop()
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-alive.C:
			err = out.send([]byte(": keep-alive\n\n"), true)
		case e, ok := <-c.events:
			if !ok {
				return errors.New("cut")
			}
			if e.seq > pos {
				err = out.send(e.text, len(c.events) == 0)
				alive.Reset(s.cfg.KeepAlive)
			}
		}
	}
	return err
}

func (s *Server) told() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *Server) join(subject string) (c *client, joined uint64) {
	c = &client{subject: subject, events: make(chan event, s.cfg.Buffer)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c] = struct{}{}
	if s.life.Err() != nil {
		s.cut(c)
	}
	return c, s.last
}

func (s *Server) leave(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut(c)
}

// catchUp sends what is stored after pos, up to the sequence to, and returns where
// the client is then.
func (s *Server) catchUp(ctx context.Context, out *outlet, subject string, pos, to uint64) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	if pos > to { // another Server is ahead of this one; or the stream was made anew, and it has seen nothing of it
		now, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return s.js.Stream(ctx, s.name) })
		if err != nil {
			return pos, err
		}
		if now.CachedInfo().State.LastSeq >= pos {
			return pos, nil
		}
		pos = 0
	}
	for pos < to {
		msg, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
			return s.stored.GetMsg(ctx, pos+1, jetstream.WithGetMsgSubject(subject))
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && msg.Sequence > to {
			break
		}
		if err == nil {
			pos, err = msg.Sequence, out.send(encode(msg.Sequence, msg.Data), false)
		}
		if err != nil {
			return pos, err
		}
	}
	return max(pos, to), out.send(nil, true)
}

// admit says who may read what. Browsers send these headers by themselves, so a
// page from elsewhere can neither leave them out nor forge them.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) (subject string, code int, reason string) {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	origin := r.Header.Get("Origin")
	listed := slices.Contains(s.cfg.Origins, origin)
	from, err := url.Parse(origin)
	switch {
	case !slices.ContainsFunc(s.cfg.Hosts, func(h string) bool { return strings.EqualFold(h, strings.Trim(host, "[]")) }):
		return "", http.StatusMisdirectedRequest, "this server is not called " + strconv.QuoteToASCII(host)
	case origin != "" && !listed && (err != nil || !strings.EqualFold(from.Host, r.Host)),
		r.Header.Get("Sec-Fetch-Site") == "cross-site" && !listed:
		return "", http.StatusForbidden, "pages from elsewhere may not read this"
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		return "", http.StatusMethodNotAllowed, "use GET"
	case !accepts(r.Header.Values("Accept")):
		return "", http.StatusNotAcceptable, "this is text/event-stream"
	}
	subject, err = s.route(r)
	if err == nil && !within(subject, s.subject) {
		err = fmt.Errorf("%.80q is not told here", subject)
	}
	if err != nil {
		return "", http.StatusBadRequest, err.Error()
	}
	if listed {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Vary", "Origin")
	}
	return subject, 0, ""
}
