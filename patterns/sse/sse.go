package sse

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

var (
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("sse: bad ID")
	// ErrConfig reports a bad Config field or argument.
	ErrConfig = errors.New("sse: bad config")
	// ErrAlreadyRun reports a second call of Run.
	ErrAlreadyRun = errors.New("sse: Run was already called")
)

// Route returns the subject whose messages a request receives. It may contain
// wildcards. An error is the response 400 Bad Request, with the error's text.
type Route func(r *http.Request) (subject string, err error)

// PathRoute returns a Route to <prefix>.<value>: value is the path value with this
// name. Without such a path value the Route is to <prefix>.*.
func PathRoute(prefix, name string) Route {
	return func(r *http.Request) (string, error) {
		value := r.PathValue(name)
		if value == "" {
			return prefix + ".*", nil
		}
		return prefix + "." + value, checkID(value)
	}
}

// Config holds the settings of a Server. The zero Config serves browsers on the same
// machine.
type Config struct {
	Hosts        []string      // accepted host names, without port; localhost, 127.0.0.1 and ::1 if empty
	Origins      []string      // other origins whose pages may read, such as https://shop.example
	FromStart    bool          // a client without Last-Event-ID first receives everything that is stored
	Retry        time.Duration // a client reconnects after Retry to 2*Retry; 2s if zero
	KeepAlive    time.Duration // a comment is sent after this time without events; 15s if zero
	WriteTimeout time.Duration // of one write to a client, and of the end of Run; 10s if zero
	Buffer       int           // events that wait for one client before it is disconnected; 256 if zero
	MaxClients   int           // served at once; 10,000 if zero; further clients are sent away and reconnect after Retry
	Log          *slog.Logger  // discards if nil
}

func (c Config) normal() (Config, error) {
	err := errors.Join(
		setDefault("Retry", &c.Retry, 2*time.Second, time.Millisecond),
		setDefault("KeepAlive", &c.KeepAlive, 15*time.Second, time.Millisecond),
		setDefault("WriteTimeout", &c.WriteTimeout, 10*time.Second, time.Millisecond),
		setDefault("Buffer", &c.Buffer, 256, 1),
		setDefault("MaxClients", &c.MaxClients, 10_000, 1),
	)
	if len(c.Hosts) == 0 {
		c.Hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return c, err
}
