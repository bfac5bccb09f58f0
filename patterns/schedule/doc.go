// Package schedule plans.
package schedule
