package demo

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natscontext"
)

// elsewhere returns how to connect to the server that url or the environment of
// the nats CLI names, or nil if none is named: a context that is merely selected
// is not, for nobody asked this program to use it.
func elsewhere(url string) connector {
	named := os.Getenv("NATS_CONTEXT")
	url = cmp.Or(url, os.Getenv("NATS_URL"))
	if url == "" && named == "" {
		return nil
	}
	return func(name string, opts ...nats.Option) (*nats.Conn, string, error) {
		opts = append([]nats.Option{nats.Name(name)}, opts...)
		auth, err := environment()
		if err != nil {
			return nil, "", err
		}
		opts = append(opts, auth...)
		if url != "" {
			nc, err := nats.Connect(url, opts...)
			return nc, "", advise(url, err)
		}
		nc, settings, err := natscontext.Connect(named, opts...)
		return nc, settings.JSDomain, advise("of context "+named, err)
	}
}

// environment reads the credentials that the nats CLI would take.
func environment() ([]nats.Option, error) {
	var opts []nats.Option
	if v := os.Getenv("NATS_CREDS"); v != "" {
		opts = append(opts, nats.UserCredentials(v))
	}
	if v := os.Getenv("NATS_NKEY"); v != "" {
		o, err := nats.NkeyOptionFromSeed(v)
		if err != nil {
			return nil, fmt.Errorf("NATS_NKEY %s: %w", v, err)
		}
		opts = append(opts, o)
	}
	if v := os.Getenv("NATS_USER"); v != "" {
		opts = append(opts, nats.UserInfo(v, os.Getenv("NATS_PASSWORD")))
	}
	if v := os.Getenv("NATS_TOKEN"); v != "" {
		opts = append(opts, nats.Token(v))
	}
	if cert, key := os.Getenv("NATS_CERT"), os.Getenv("NATS_KEY"); cert != "" && key != "" {
		opts = append(opts, nats.ClientCert(cert, key))
	}
	if v := os.Getenv("NATS_CA"); v != "" {
		opts = append(opts, nats.RootCAs(v))
	}
	return opts, nil
}

// advise says, of an error on connecting, what to do about it.
func advise(server string, err error) error {
	var netErr net.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked),
		strings.Contains(strings.ToLower(err.Error()), "authorization violation"):
		return fmt.Errorf("the server %s refuses these credentials (%w); set NATS_CREDS, NATS_USER and NATS_PASSWORD, NATS_TOKEN or NATS_NKEY", server, err)
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout), errors.As(err, &netErr):
		return fmt.Errorf("no server answers at %s (%w); is it running, and is the URL right? Leave -server and NATS_URL out to use an embedded one", server, err)
	}
	return fmt.Errorf("connect to the server %s: %w", server, err)
}
