// Package eventstore
package eventstore
