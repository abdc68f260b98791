// Package count has what the parts of the public listener count together: connections and requests by client.
package count
